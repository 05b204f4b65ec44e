// The Venus runtime: starts it, loads the model, runs it on one input, reads its outputs.
#pragma once

#include <sched.h>

#include <cstring>
#include <memory>

#include "venus.h"

#include "program.h"

#ifdef VENUS_PROFILE
const int runs = 10;  // the profile runtime prints a table of the layers
#else
const int runs = 1;
#endif

// Ends the runtime when the scope ends; what uses it must be gone by then.
struct Runtime {
    bool started = false;
    bool start() { return started = venus::venus_init() == 0; }
    ~Runtime() {
        if (started && venus::venus_deinit() != 0) fputs("warning: venus_deinit failed\n", stderr);
    }
};

// An output as real numbers, NHWC. Codes of up to 4 bits lie two a byte, even channel below; above 8 bits in two bytes.
inline std::vector<float> real(const venus::Tensor& tensor, const model::Output& output) {
    size_t count = 1, last = output.shape.empty() ? 1 : output.shape.back();
    for (int size : output.shape) count *= size;
    if (output.bits == 32) return std::vector<float>(tensor.data<float>(), tensor.data<float>() + count);
    const uint8_t* bytes = tensor.data<uint8_t>();
    std::vector<float> values(count);
    for (size_t i = 0; i < count; i++) {
        int code;
        if (output.bits > 8)
            code = bytes[2 * i] | bytes[2 * i + 1] << 8;
        else if (output.bits > 4)
            code = bytes[i];
        else
            code = bytes[i / last * ((last + 1) / 2) + i % last / 2] >> (i % last % 2 * 4) & 15;
        values[i] = float(code - output.zero_point) * output.scale;
    }
    return values;
}

inline Exit read_outputs(venus::BaseNet& net, Values& values) {
    for (size_t i = 0; i < model::outputs.size(); i++) {
        const model::Output& wanted = model::outputs[i];
        std::unique_ptr<const venus::Tensor> tensor = net.get_output(int(i));
        if (!tensor) return fail(FAILED, "the model has no output %zu (%s)", i, wanted.name);
        const std::vector<int> shape = tensor->shape();
        if (squeezed(shape) != squeezed(wanted.shape))
            return fail(FAILED, "output %zu is %s; %s is %s: was the model converted from this folder?", i,
                        text(shape).c_str(), wanted.name, text(wanted.shape).c_str());
        values.push_back(real(*tensor, wanted));
    }
    return DONE;
}

inline Exit run(const char* path, const Pixels& input, Values& values) {
    if (FILE* file = fopen(path, "rb"))
        fclose(file);
    else
        return fail(MISUSED, "%s cannot be read", path);
    cpu_set_t first;  // as the vendor's samples do
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (sched_setaffinity(0, sizeof first, &first) != 0) fputs("warning: not bound to the first core\n", stderr);

    Runtime runtime;
    if (!runtime.start()) return fail(FAILED, "venus_init failed: are the unit's driver and its memory (nmem) there?");
    std::unique_ptr<venus::BaseNet> net = venus::net_create(venus::TensorFormat::NHWC);
    if (!net) return fail(FAILED, "net_create failed");
    double start = milliseconds();
    if (net->load_model(path) != 0)
        return fail(FAILED, "%s cannot be loaded: is it a model for the %s? A runtime older than the model cannot "
                    "load it (both print their versions): copy a newer libvenus to the board", path, model::soc);
    printf("load: %.3f ms\n", milliseconds() - start);

    std::unique_ptr<venus::Tensor> tensor = net->get_input(0);
    if (!tensor) return fail(FAILED, "the model has no input");
    tensor->reshape({1, model::height, model::width, model::board_channels});
    memcpy(tensor->mudata<uint8_t>(), input.data(), input.size());
    start = milliseconds();
    for (int i = 0; i < runs; i++)
        if (net->run() != 0) return fail(FAILED, "run failed");
    printf("run: %.3f ms, mean of %d\n", (milliseconds() - start) / runs, runs);
#ifdef VENUS_NMEM
    puts("memory: /tmp/nmem_memory.txt");  // the nmem runtime writes it
#endif
    return read_outputs(*net, values);
}

// What a debug build leaves in the current folder beside the runtime's dumps.
inline Exit dump(const Pixels& input, const Values& values) {
#ifdef VENUS_DEBUG
    if (!write_file("venus_input.bin", input.data(), input.size()))
        return fail(FAILED, "venus_input.bin cannot be written");
    for (size_t i = 0; i < values.size(); i++) {
        char name[32];
        snprintf(name, sizeof name, "venus_output_%d.bin", int(i));
        if (!write_file(name, values[i].data(), values[i].size() * sizeof(float)))
            return fail(FAILED, "%s cannot be written", name);
    }
#else
    (void)input;
    (void)values;
#endif
    return DONE;
}
