// What the programs of all boards share: how they end, files, sizes.
#pragma once

#include <sys/time.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "model.h"
#include "picture.h"

enum Exit { DONE = 0, FAILED = 1, MISUSED = 2 };  // the runtime failed; what was given is wrong

typedef std::vector<std::vector<float>> Values;  // of each output, in the order of model::outputs

__attribute__((format(printf, 2, 3))) inline Exit fail(Exit code, const char* format, ...) {
    va_list values;
    va_start(values, format);
    fputs("error: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    return code;
}

// Gives false if the file cannot be read or holds more than any picture does.
inline bool read_file(const char* path, Pixels& content) {
    FILE* file = fopen(path, "rb");
    if (!file) return false;
    content.clear();
    uint8_t block[65536];
    size_t count;
    while ((count = fread(block, 1, sizeof block, file)) > 0 && content.size() < (size_t(1) << 28))
        content.insert(content.end(), block, block + count);
    const bool read = !ferror(file) && feof(file);
    fclose(file);
    return read;
}

inline bool write_file(const char* path, const void* content, size_t bytes) {
    FILE* file = fopen(path, "wb");
    if (!file) return false;
    const bool written = fwrite(content, 1, bytes, file) == bytes;
    return fclose(file) == 0 && written;
}

// A side of a picture in pixels; 0 if the word is none.
inline int side(const char* word) {
    char* end;
    const long value = strtol(word, &end, 10);
    return end != word && *end == 0 && value > 0 && value <= 16384 ? int(value) : 0;
}

inline double milliseconds() {
    timeval now;
    gettimeofday(&now, nullptr);
    return now.tv_sec * 1e3 + now.tv_usec * 1e-3;
}

// Sizes without those of 1: runtimes differ in how many of them they write.
inline std::vector<int> squeezed(const std::vector<int>& shape) {
    std::vector<int> sizes;
    for (int size : shape)
        if (size != 1) sizes.push_back(size);
    return sizes;
}

inline std::string text(const std::vector<int>& shape) {
    std::string list = "[";
    for (int size : shape) {
        char digits[16];
        snprintf(digits, sizeof digits, list.size() > 1 ? ",%d" : "%d", size);
        list += digits;
    }
    return list + "]";
}
