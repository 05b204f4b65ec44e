// Sizes, errors and counted memory: what every other header stands on. No exceptions: a function that can fail gives
// false after it has left a line in `error_text`.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace socquant {

inline char error_text[512];

__attribute__((format(printf, 1, 2))) inline bool fail(const char* format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(error_text, sizeof error_text, format, values);
    va_end(values);
    return false;
}

// Bytes held by all buffers, and the most that were held at once.
struct Memory {
    size_t used = 0, peak = 0;
};

inline Memory memory;
constexpr size_t MEMORY_LIMIT = size_t(1) << 30;  // a model that wants more is damaged
constexpr size_t ALIGNMENT = 64;

// Elements of one kind, aligned for vectors, freed with the buffer, zero at first.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { release(); }

    bool allocate(uint64_t count) {
        release();
        if (count > (MEMORY_LIMIT - ALIGNMENT) / sizeof(T)) return fail("the model wants more than 1 GiB at once");
        size_t bytes = (size_t(count) * sizeof(T) + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
        if (memory.used + bytes > MEMORY_LIMIT) return fail("the model wants more than 1 GiB");
        data_ = static_cast<T*>(aligned_alloc(ALIGNMENT, bytes));
        if (!data_) return fail("out of memory: %zu bytes more are needed", bytes);
        memset(static_cast<void*>(data_), 0, bytes);
        size_ = size_t(count);
        bytes_ = bytes;
        memory.used += bytes;
        if (memory.used > memory.peak) memory.peak = memory.used;
        return true;
    }
    void release() {
        free(data_);
        memory.used -= bytes_;
        data_ = nullptr;
        size_ = bytes_ = 0;
    }
    T* data() { return data_; }
    const T* data() const { return data_; }
    size_t size() const { return size_; }
    T& operator[](size_t index) { return data_[index]; }
    const T& operator[](size_t index) const { return data_[index]; }

  private:
    T* data_ = nullptr;
    size_t size_ = 0, bytes_ = 0;
};

constexpr uint64_t MAX_ELEMENTS = uint64_t(1) << 30;  // elements of a tensor

// The product of sizes; `MAX_ELEMENTS + 1` where it is larger than `MAX_ELEMENTS`.
template <class... Sizes>
uint64_t product(Sizes... sizes) {
    uint64_t total = 1;
    for (uint64_t size : {uint64_t(sizes)...}) {
        if (size == 0) return 0;
        total = total > MAX_ELEMENTS / size ? MAX_ELEMENTS + 1 : total * size;
    }
    return total;
}

}  // namespace socquant
