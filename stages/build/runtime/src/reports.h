// What the build types add: dumps of every layer, times of every layer, and memory.
#pragma once

#include <ctime>

#include "network.h"

namespace socquant {

inline bool write_file(const std::string& path, const void* bytes, size_t count) {
    FILE* file = fopen(path.c_str(), "wb");
    if (!file) return fail("%s cannot be written", path.c_str());
    bool good = fwrite(bytes, 1, count, file) == count;
    return (fclose(file) == 0 && good) || fail("%s cannot be written", path.c_str());
}

// The name of a layer's dump; names in a model are plain, but nothing in a file is believed.
inline std::string dump_path(const std::string& folder, const Tensor& tensor) {
    std::string stem = tensor.name;
    for (char& letter : stem)
        if (letter == '/' || letter == '\\') letter = '_';
    return folder + "/" + stem + (tensor.codes() ? "_Quantize_out.bin" : "_out.bin");
}

// A layer as it lies in memory (NHWC), 4-bit codes two a byte: the even channel below, the odd one above.
inline bool dump(const std::string& folder, const Tensor& tensor) {
    std::string path = dump_path(folder, tensor);
    if (!tensor.codes() || tensor.bits > 4) return write_file(path, tensor.data, size_t(tensor.bytes()));
    size_t channels = tensor.dims.empty() ? 1 : tensor.dims.back(), row = (channels + 1) / 2;
    size_t pixels = size_t(tensor.elements) / channels;
    Buffer<uint8_t> packed;
    if (!packed.allocate(uint64_t(pixels) * row)) return false;
    const uint8_t* codes = tensor.as<uint8_t>();
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            packed[p * row + c / 2] |= uint8_t((codes[p * channels + c] & 15) << (c % 2 * 4));
    return write_file(path, packed.data(), packed.size());
}

inline double milliseconds(clockid_t clock = CLOCK_MONOTONIC) {
    timespec now;
    clock_gettime(clock, &now);
    return double(now.tv_sec) * 1e3 + double(now.tv_nsec) * 1e-6;
}

// Times of each operator over the cycles, printed as the vendor's profile library prints them.
class Profile {
  public:
    explicit Profile(const Network& network) : network_(network), rows_(network.steps()) {}

    void add(size_t step, double ms) {
        Row& row = rows_[step];
        row.total += ms, row.last = ms;
        row.most = ms > row.most ? ms : row.most;
        row.least = row.cycles++ == 0 || ms < row.least ? ms : row.least;
    }

    void print(int cycles) const {
        double total = 0;
        for (const Row& row : rows_) total += row.total / cycles;
        printf("Timing cycle = %d\n", cycles);
        printf("===== Detailed DispatchProfiler Summary: N/A, Exclude 0warm-ups =====\n");
        printf("%-36s %-20s %-20s %-20s %-18s %-7s %-10s %-7s", "LayerName", "OperatorType", "InputShape", "OutputShape",
               "FilterShape", "Stride", "Pad", "Dila");
        printf(" Avg(ms) Max(ms) Min(ms) Last(ms) Avg(%%) GOPs BandWidth(MB)\n");
        for (size_t step = 0; step < rows_.size(); step++) print_row(step, cycles, total);
        printf("%-20s Avg(ms) Max(ms) Min(ms) Avg(%%) GOPs TotalBW(MB) CalledTimes\n", "OperatorType");
        std::vector<bool> shown(rows_.size());
        for (size_t step = 0; step < rows_.size(); step++)
            if (!shown[step]) print_type(step, cycles, total, shown);
        printf("Total: %.3f ms\n", total);
    }

  private:
    struct Row {
        double total = 0, most = 0, least = 0, last = 0;
        int cycles = 0;
    };

    double megabytes(size_t step) const {
        const Operation& operation = network_.operation(step);
        double bytes = double(network_.tensor(operation.output).bytes()) + network_.work(step).parameter_bytes;
        for (uint32_t index : operation.inputs)
            if (!network_.tensor(index).constant) bytes += double(network_.tensor(index).bytes());
        return bytes / (1 << 20);
    }

    void print_row(size_t step, int cycles, double total) const {
        const Operation& operation = network_.operation(step);
        const Work& work = network_.work(step);
        const Row& row = rows_[step];
        std::string inputs;
        for (uint32_t index : operation.inputs)
            if (!network_.tensor(index).constant) inputs += (inputs.empty() ? "" : " ") + shape(network_.tensor(index));
        bool filter = work.filter[0] != 0;
        printf("%-36s %-20s %-20s %-20s %-18s %-7s %-10s %-7s", operation.layer.c_str(), work.type,
               inputs.empty() ? "N/A" : inputs.c_str(), shape(network_.tensor(operation.output)).c_str(),
               filter ? list(work.filter, 4).c_str() : "N/A", filter ? list(work.stride, 2).c_str() : "N/A",
               filter ? list(work.pad, 4).c_str() : "N/A", filter ? list(work.dilation, 2).c_str() : "N/A");
        printf(" %.3f %.3f %.3f %.4f %.2f%% %.3f %.3f\n", row.total / cycles, row.most, row.least, row.last,
               share(row.total / cycles, total), work.operations / 1e9, megabytes(step));
    }

    void print_type(size_t first, int cycles, double total, std::vector<bool>& shown) const {
        double average = 0, most = 0, least = 0, operations = 0, moved = 0;
        int called = 0;
        for (size_t step = first; step < rows_.size(); step++) {
            if (strcmp(network_.work(step).type, network_.work(first).type) != 0) continue;
            shown[step] = true;
            average += rows_[step].total / cycles, most += rows_[step].most, least += rows_[step].least;
            operations += network_.work(step).operations / 1e9, moved += megabytes(step);
            called++;
        }
        printf("%-20s %.3f %.3f %.3f %.2f%% %.3f %.3f %d\n", network_.work(first).type, average, most, least,
               share(average, total), operations, moved, called);
    }

    static double share(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }
    static std::string shape(const Tensor& tensor) { return list(tensor.dims.data(), tensor.dims.size()); }
    static std::string list(const uint32_t* values, size_t count) {
        std::string text = "{";
        for (size_t i = 0; i < count; i++) text += (i ? "," : "") + std::to_string(values[i]);
        return count ? text + "}" : "{1}";
    }

    const Network& network_;
    std::vector<Row> rows_;
};

// Memory as the vendor's nmem library reports it: the arena's room is what a board would reserve.
inline bool write_memory(const char* path, size_t total, size_t used) {
    auto kilobytes = [](size_t bytes) { return int((bytes + 1023) / 1024); };
    char text[512];
    int peak = kilobytes(memory.peak), now = kilobytes(used), all = kilobytes(total);
    int length = snprintf(text, sizeof text,
                          "nmem total = %dK\nnmem used peak  = %dK\nnmem current used  = %dK\nnmem free  = %dK\n"
                          "#### peak %%%.2f ####\n",
                          all, peak, now, all - now, all ? 100.0 * peak / all : 0.0);
    return write_file(path, text, size_t(length));
}

}  // namespace socquant
