// Runs a detector in the open T41 runtime and prints its boxes, in pixels of the network's input.

#include <cstdio>
#include <vector>

#include "detector.h"
#include "network.h"

int main(int count, char** words) {
    if (count != 3) {
        std::fprintf(stderr, "usage: %s MODEL INPUT\n  MODEL  the compiler's .pluto\n  INPUT  an input as in.bin is\n",
                     words[0]);
        return 2;
    }
    const int wanted = int(head::output_sizes.size());
    std::vector<network_output_t> outputs(head::output_sizes.size());
    const int found = network_run(words[1], words[2], outputs.data(), wanted);
    if (found < 0) return 1;
    if (found != wanted) {
        std::fprintf(stderr, "error: %s has %d outputs, the head has %d: compile the network of this folder\n", words[1],
                     found, wanted);
        return 1;
    }
    detector::Outputs values;
    for (const network_output_t& output : outputs) {
        const std::size_t size = std::size_t(output.height) * output.width * output.channels;
        if (size != head::output_sizes[values.size()]) {
            std::fprintf(stderr, "error: %s: output %zu has %zu values, the head %zu: compile the network of this folder\n",
                         words[1], values.size(), size, head::output_sizes[values.size()]);
            return 1;
        }
        values.push_back(output.values);
    }
    detector::print(detector::detect(values), {head::width, head::height, 0, 0, 1, 1});
    return 0;
}
