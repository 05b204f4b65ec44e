// The reference runtime: runs a network that `python -m stages.build` wrote, integer by integer as docs/arithmetic.md
// says. Built for one of four purposes, as the vendor's board programs are: release, debug (dumps every layer), profile
// (times every layer), nmem (writes how much memory was needed).

#include <unistd.h>

#include <new>

#include "reports.h"

#if __has_include("detector.h")  // build writes it for a detector
#include "detector.h"
#define RUNTIME_DETECTOR
#endif

using namespace socquant;

namespace {

const char* const usage =
    "usage: %s MODEL INPUT... [-o FOLDER] [-n CYCLES]\n"
    "  MODEL    the .sqm file from out/build/<soc>/runtime\n"
    "  INPUT    a file for each of the network's inputs: pixels NHWC, before mean and normal, uint8 or float32;\n"
    "           three channels, or four of which the last is not used\n"
    "  FOLDER   where outputs (mostly float32) and dumps are written; it must exist (here: .)\n"
    "  CYCLES   how often to run (1; profile: 5)\n";

struct Request {
    const char* model = nullptr;
    std::vector<const char*> inputs;
    std::string folder = ".";
#ifdef RUNTIME_PROFILE
    int cycles = 5;
#else
    int cycles = 1;
#endif
};

bool parse(int count, char** words, Request& request) {
    for (int i = 1; i < count; i++) {
        bool option = strcmp(words[i], "-o") == 0 || strcmp(words[i], "-n") == 0;
        if (option && i + 1 == count) return fail("%s: a value is missing", words[i]);
        if (strcmp(words[i], "-o") == 0)
            request.folder = words[++i];
        else if (strcmp(words[i], "-n") == 0)
            request.cycles = atoi(words[++i]);
        else if (!request.model)
            request.model = words[i];
        else
            request.inputs.push_back(words[i]);
    }
    if (request.cycles < 1) return fail("-n: give a number of cycles, 1 or more");
    return request.model || fail("no model is given");
}

bool feed(Network& network, const Request& request) {
    size_t wanted = network.inputs().size();
    if (request.inputs.size() != wanted)
        return fail("%zu input files are given, the network takes %zu", request.inputs.size(), wanted);
    for (size_t i = 0; i < wanted; i++) {
        Buffer<uint8_t> content;
        if (!read_file(request.inputs[i], content)) return false;
        if (!network.feed(i, content.data(), content.size(), request.inputs[i])) return false;
    }
    return true;
}

const char* numbers_name(const Tensor& tensor) {
    switch (tensor.kind) {
        case Kind::i32: return "integers of 32 bits";
        case Kind::i64: return "integers of 64 bits";
        case Kind::boolean: return "booleans";
        case Kind::f64: return "floats of 64 bits";
        case Kind::i8: case Kind::byte: return "integers of 8 bits";
        default: return "floats";
    }
}

bool run(Network& network, const Request& request) {
    Profile profile(network);
    double start = milliseconds(), processor = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
    for (int cycle = 0; cycle < request.cycles; cycle++)
        for (size_t step = 0; step < network.steps(); step++) {
#ifdef RUNTIME_PROFILE
            double before = milliseconds();
            network.run(step);
            profile.add(step, milliseconds() - before);
#else
            network.run(step);
#endif
#ifdef RUNTIME_DEBUG
            const Tensor& made = network.tensor(network.operation(step).output);
            if (cycle == 0 && !made.name.empty() && !dump(request.folder, made)) return false;
#endif
        }
#ifdef RUNTIME_PROFILE
    profile.print(request.cycles);
#endif
    printf("run: %.3f ms a cycle, %.3f of them on the processor, %d cycles\n",
           (milliseconds() - start) / request.cycles,
           (milliseconds(CLOCK_PROCESS_CPUTIME_ID) - processor) / request.cycles, request.cycles);
    for (size_t i = 0; i < network.outputs().size(); i++) {
        const Tensor& result = network.tensor(network.outputs()[i].tensor);
        std::string path = request.folder + "/output_" + std::to_string(i) + ".bin";
        if (!write_file(path, result.data, size_t(result.bytes()))) return false;
        printf("output %zu: %s, %zu %s: %s\n", i, network.outputs()[i].name.c_str(), size_t(result.elements),
               numbers_name(result), path.c_str());
    }
    return true;
}

#ifdef RUNTIME_DETECTOR
// Prints the boxes in pixels of the input.
bool detect(const Network& network, const Request& request) {
    const std::vector<Output>& outputs = network.outputs();
    detector::Outputs values;
    for (size_t i = 0; i < outputs.size(); i++) {
        const Tensor& tensor = network.tensor(outputs[i].tensor);
        if (i < head::output_sizes.size() && tensor.elements == head::output_sizes[i] && tensor.kind == Kind::f32)
            values.push_back(tensor.as<float>());
    }
    if (values.size() != outputs.size() || values.size() != head::output_sizes.size())
        return fail("%s has other outputs than head.h: they are of two networks", request.model);
    detector::print(detector::detect(values), {head::width, head::height, 0, 0, 1, 1});
    return true;
}
#endif

bool work(int count, char** words) {
    Request request;
    if (!parse(count, words, request)) return false;
    Network network;
    double start = milliseconds();
    if (!network.load(request.model)) return false;
    printf("load: %.3f ms\n", milliseconds() - start);
    if (!feed(network, request) || !run(network, request)) return false;
#ifdef RUNTIME_DETECTOR
    if (!detect(network, request)) return false;
#endif
    printf("memory: %zu bytes at most, %zu while it runs, %zu of them for features\n", memory.peak, memory.used,
           network.arena_bytes());
#ifdef RUNTIME_NMEM
    const char* path = getenv("NMEM_FILE");
    if (!write_memory(path ? path : "/tmp/nmem_memory.txt", memory.peak, memory.used)) return false;
#endif
    return true;
}

}  // namespace

int main(int count, char** words) {
    std::set_new_handler([] {
        fputs("error: out of memory\n", stderr);
        _exit(2);
    });
    for (int i = 1; i < count; i++)
        if (strcmp(words[i], "-h") == 0 || strcmp(words[i], "--help") == 0) {
            printf(usage, words[0]);
            return 0;
        }
    if (count < 2) {
        fprintf(stderr, usage, words[0]);
        return 2;
    }
    if (work(count, words)) return 0;
    fprintf(stderr, "error: %s\n", error_text);
    return 2;
}
