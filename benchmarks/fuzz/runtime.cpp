// The board's runtime under libFuzzer: a content is a model file, whose length and checksum are mended; it is loaded,
// fed and, where that takes no more than a moment, run. Compiled by g++ with -fsanitize-coverage=trace-pc,trace-cmp.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "network.h"

extern "C" int LLVMFuzzerRunDriver(int* count, char*** words, int (*once)(const uint8_t*, size_t));
extern "C" size_t LLVMFuzzerMutate(uint8_t* content, size_t size, size_t most);

using namespace socquant;

namespace {

constexpr double MOST_WORK = 1e7;           // operations and elements of a run: milliseconds
constexpr uint32_t MOST_ARENA = 16 << 20;   // bytes: to clear a gigabyte takes as long as to try a thousand files
constexpr size_t HEADER_BYTES = HEADER_WORDS * 4, CHECKED_FROM = 16, COUNTS_FROM = 20, RECORD_WORDS_AT = 36, ARENA_AT = 52;

// libFuzzer counts in this section what g++ tells, as it would with clang's own counters.
__attribute__((section("__libfuzzer_extra_counters"))) uint8_t counters[1 << 16];

uint32_t word_at(const uint8_t* content, size_t at) {
    uint32_t word;
    memcpy(&word, content + at, 4);
    return word;
}

void mend(uint8_t* content, size_t size) {
    if (size < HEADER_BYTES) return;
    uint32_t length = uint32_t(size);
    memcpy(content + CHECKED_FROM, &length, 4);
    uint32_t sum = crc32(content + CHECKED_FROM, size - CHECKED_FROM);
    memcpy(content + 12, &sum, 4);
}

bool short_enough(const Network& network) {
    double total = 0;
    for (size_t step = 0; step < network.steps(); step++) {
        const Work& work = network.work(step);
        double window = work.filter[0] ? double(work.filter[0]) * work.filter[1] : 1.0;
        total += work.operations + double(network.tensor(network.operation(step).output).elements) * window;
        for (uint32_t input : network.operation(step).inputs) total += double(network.tensor(input).elements);
    }
    return total < MOST_WORK;
}

int once(const uint8_t* content, size_t size) {
    if (size >= HEADER_BYTES && word_at(content, ARENA_AT) > MOST_ARENA) return -1;
    int file = memfd_create("model", 0);
    std::string path = "/proc/self/fd/" + std::to_string(file);
    if (write(file, content, size) != ssize_t(size)) abort();
    {
        Network network;
        if (network.load(path.c_str()) && short_enough(network)) {
            for (size_t i = 0; i < network.inputs().size(); i++) {
                std::vector<uint8_t> pixels(network.inputs()[i].elements, 7);
                network.feed(i, pixels.data(), pixels.size(), "pixels");
            }
            for (size_t step = 0; step < network.steps(); step++) network.run(step);
        }
    }
    close(file);
    return 0;
}

}  // namespace

extern "C" __attribute__((no_sanitize_coverage, no_sanitize("address", "undefined"))) void __sanitizer_cov_trace_pc() {
    counters[(uintptr_t(__builtin_return_address(0)) * 0x9e3779b97f4a7c15u) >> 48]++;
}

extern "C" void __sanitizer_cov_trace_cmpf(float, float) {}
extern "C" void __sanitizer_cov_trace_cmpd(double, double) {}

// Words of the records get other values; anything else is libFuzzer's own way, in all of the file.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* content, size_t size, size_t most, unsigned seed) {
    constexpr uint32_t edges[] = {0, 1, 2, 3, 255, 65535, 1u << 16, 1u << 30, ~0u >> 1, 1u << 31, ~0u};
    if (size < HEADER_BYTES || seed % 3 == 0) {
        size = LLVMFuzzerMutate(content, size, most);
    } else {
        srand(seed);
        size_t end = std::min<size_t>(size, HEADER_BYTES + 4 * size_t(word_at(content, RECORD_WORDS_AT)));
        for (int left = 1 + rand() % 4; left > 0; left--) {
            size_t at = COUNTS_FROM + 4 * (size_t(rand()) % std::max<size_t>((end - COUNTS_FROM) / 4, 1));
            uint32_t near = word_at(content, at) + uint32_t(rand() % 9) - 4;
            uint32_t other = word_at(content, COUNTS_FROM + 4 * (size_t(rand()) % ((size - COUNTS_FROM) / 4)));
            uint32_t edge = edges[size_t(rand()) % (sizeof edges / 4)];
            uint32_t chosen[] = {near, near, edge, other, uint32_t(rand() % 64)};
            memcpy(content + at, &chosen[rand() % 5], 4);
        }
    }
    mend(content, size);
    return size;
}

int main(int count, char** words) {
    return LLVMFuzzerRunDriver(&count, &words, once);
}
