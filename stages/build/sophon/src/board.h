// A Sophgo board: a picture's pixels into the compiled network, and its outputs as the PC has them.
#pragma once

#include <cstring>

#include "normalization.h"
#include "program.h"

// One output of the network as the board's runtime gives it: float, in the network's own layout.
struct Result {
    std::string name;  // as the compiler calls it: the tensor, its operator, and _f32 after a cast
    std::vector<float> values;
};
typedef std::vector<Result> Results;

#include "accelerator.h"

// NCHW float32: (pixel - mean) / normal. The compiled network takes nothing else.
inline std::vector<float> normalized(const Pixels& input) {
    const size_t area = size_t(model::width) * model::height;
    std::vector<float> values(area * model::channels);
    for (int c = 0; c < model::channels; c++)
        for (size_t i = 0; i < area; i++)
            values[c * area + i] =
                (float(input[i * model::board_channels + c]) - model::mean[c]) / model::normal[c];
    return values;
}

// The result that is an output: of its name, or of the shortest name that begins with it.
inline const Result* result_of(const Results& results, const std::string& name) {
    const Result* found = nullptr;
    for (const Result& result : results) {
        const bool begins = result.name == name || result.name.compare(0, name.size() + 1, name + "_") == 0;
        if (begins && (!found || result.name.size() < found->name.size())) found = &result;
    }
    return found;
}

// NCHW -> NHWC; other ranks stay.
inline std::vector<float> channels_last(const std::vector<float>& values, const std::vector<int>& shape) {
    if (shape.size() != 4) return values;
    const size_t area = size_t(shape[1]) * shape[2], channels = shape[3];
    std::vector<float> moved(values.size());
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < area; i++) moved[i * channels + c] = values[c * area + i];
    return moved;
}

inline Exit run(const char* path, const Pixels& input, Values& values) {
    if (FILE* file = fopen(path, "rb"))
        fclose(file);
    else
        return fail(MISUSED, "%s cannot be read", path);
    Accelerator accelerator;
    double start = milliseconds();
    if (Exit code = accelerator.load(path)) return code;
    printf("load: %.3f ms\n", milliseconds() - start);
    const std::vector<float> fed = normalized(input);
    Results results;
    start = milliseconds();
    if (Exit code = accelerator.run(fed, results)) return code;
    printf("run: %.3f ms\n", milliseconds() - start);
    for (const model::Output& output : model::outputs) {
        size_t count = 1;
        for (int size : output.shape) count *= size;
        const Result* result = result_of(results, output.name);
        if (!result || result->values.size() != count)
            return fail(FAILED, "%s has no output %s %s: was it compiled from this folder?", path, output.name,
                        text(output.shape).c_str());
        values.push_back(channels_last(result->values, output.shape));
    }
    return DONE;
}

inline Exit dump(const Pixels&, const Values&) { return DONE; }
