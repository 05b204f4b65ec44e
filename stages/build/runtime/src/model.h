// The model file: read, checked, and taken apart into tensors and operations (docs/board.md describes the format).
// Nothing in it is believed: every size, offset and number of an operand is checked before it is used.
#pragma once

#include <string>
#include <vector>

#include "contract.h"

namespace socquant {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are little-endian");

using contract::Kind;

constexpr size_t HEADER_WORDS = 14;
constexpr uint64_t MAX_RECORDS = 1 << 20;      // tensors and operations of a file; real ones have thousands
constexpr uint64_t MAX_NAME_BYTES = 16 << 20;  // of all records together, which may share a name

struct Tensor {
    Kind kind;
    int bits, zero_point;
    bool constant;
    uint64_t elements, offset;
    std::vector<uint32_t> dims;  // as they lie in memory: NHWC for pictures
    std::string name;            // of its dump; empty: none
    uint8_t* data = nullptr;

    size_t element_bytes() const {
        switch (kind) {
            case Kind::u8: case Kind::boolean: case Kind::i8: case Kind::byte: return 1;
            case Kind::u16: return 2;
            case Kind::i64: case Kind::f64: return 8;
            default: return 4;
        }
    }
    uint64_t bytes() const {
        return kind == Kind::weights ? (elements * uint64_t(bits) + 7) / 8 : elements * element_bytes();
    }
    bool codes() const { return kind == Kind::u8 || kind == Kind::u16; }
    bool reals() const { return kind == Kind::f32 || kind == Kind::f64; }
    bool integers() const { return kind == Kind::i32 || kind == Kind::i64; }
    bool numbers() const {
        return reals() || integers() || kind == Kind::boolean || kind == Kind::i8 || kind == Kind::byte;
    }
    int32_t qmax() const { return int32_t((1u << bits) - 1); }
    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data);
    }
};

struct Operation {
    uint32_t code;
    std::string layer;  // empty: part of the next one
    std::vector<uint32_t> inputs;
    uint32_t output;
    std::vector<int32_t> attributes;
};

// A picture that is fed.
struct Fed {
    std::string name;
    uint32_t elements, channels;
};

struct Output {
    std::string name;
    uint32_t tensor;
};

struct Model {
    std::vector<Tensor> tensors;
    std::vector<Operation> operations;
    std::vector<Fed> fed;
    std::vector<Buffer<float>> pictures;  // as they are fed
    std::vector<Output> outputs;
    Buffer<uint8_t> arena, constants, weights;
};

inline uint32_t crc32(const uint8_t* bytes, size_t count) {
    uint32_t table[256], crc = ~0u;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = (table[i] >> 1) ^ (table[i] & 1 ? 0xedb88320u : 0);
    }
    for (size_t i = 0; i < count; i++) crc = (crc >> 8) ^ table[(crc ^ bytes[i]) & 255];
    return ~crc;
}

inline bool read_file(const char* path, Buffer<uint8_t>& content) {
    FILE* file = fopen(path, "rb");
    if (!file) return fail("%s cannot be opened", path);
    long size = -1;
    if (fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    bool good = size >= 0 && fseek(file, 0, SEEK_SET) == 0;
    if (!good || size_t(size) >= MEMORY_LIMIT) {
        fclose(file);
        return fail("%s cannot be read", path);
    }
    good = content.allocate(uint64_t(size));
    if (good && fread(content.data(), 1, size_t(size), file) != size_t(size)) good = fail("%s cannot be read", path);
    fclose(file);
    return good;
}

// Hands out the words of the records one by one; beyond the end it gives zeros and remembers.
class Words {
  public:
    Words(const uint8_t* bytes, size_t count) : bytes_(bytes), left_(count) {}

    uint32_t next() {
        if (left_ == 0) {
            short_ = true;
            return 0;
        }
        uint32_t word;
        memcpy(&word, bytes_, 4);
        bytes_ += 4;
        left_--;
        return word;
    }
    // A number of records to follow, each of a word or more.
    uint32_t count() {
        uint32_t number = next();
        if (number > left_) short_ = true;
        return short_ ? 0 : number;
    }
    bool ended_well() const { return !short_ && left_ == 0; }
    bool is_short() const { return short_; }

  private:
    const uint8_t* bytes_;
    size_t left_;
    bool short_ = false;
};

class Parser {
  public:
    Parser(const char* path, Model& model) : path_(path), model_(model) {}

    bool parse(const uint8_t* file, size_t size) {
        uint32_t header[HEADER_WORDS];
        if (size < sizeof header || memcmp(file, "SOCQUANT", 8) != 0) return fail("%s is no model file", path_);
        memcpy(header, file, sizeof header);
        if (header[2] != contract::FORMAT_VERSION)
            return fail("%s has format %u, this program reads %u: build both anew", path_, header[2], contract::FORMAT_VERSION);
        if (header[4] != size) return fail("%s has %zu bytes, not %u: truncated?", path_, size, header[4]);
        if (crc32(file + 16, size - 16) != header[3]) return fail("%s is damaged: its checksum is wrong", path_);
        uint64_t words = header[9], names = header[10], constants = header[11], weights = header[12];
        if (sizeof header + words * 4 + names + constants + weights != size || names % 4 || constants % 4)
            return damaged("its parts do not add up");
        names_ = reinterpret_cast<const char*>(file) + sizeof header + words * 4;
        name_bytes_ = size_t(names);
        if (uint64_t(header[5]) + header[6] + header[7] + header[8] > MAX_RECORDS) return damaged("it has too many records");
        Words records(file + sizeof header, size_t(words));
        if (!model_.arena.allocate(header[13]) || !model_.constants.allocate(constants) ||
            !model_.weights.allocate(weights))
            return false;
        const uint8_t* data = file + sizeof header + words * 4 + names;
        memcpy(model_.constants.data(), data, size_t(constants));
        memcpy(model_.weights.data(), data + constants, size_t(weights));
        for (uint32_t i = 0; i < header[5]; i++)
            if (!tensor(records)) return false;
        for (uint32_t i = 0; i < header[6]; i++)
            if (!operation(records)) return false;
        for (uint32_t i = 0; i < header[7]; i++) {
            Fed input{};
            if (!name(records, input.name)) return false;
            input.elements = records.next();
            input.channels = records.next();
            if (records.is_short() || input.channels == 0 || input.elements == 0 || input.elements > MAX_ELEMENTS ||
                input.elements % input.channels)
                return damaged("an input has no such shape");
            model_.fed.push_back(input);
        }
        for (uint32_t i = 0; i < header[8]; i++) {
            Output output{};
            if (!name(records, output.name)) return false;
            output.tensor = records.next();
            if (records.is_short() || output.tensor >= model_.tensors.size()) return damaged("an output is missing");
            if (!model_.tensors[output.tensor].numbers()) return damaged("an output does not hold numbers");
            model_.outputs.push_back(output);
        }
        return records.ended_well() || damaged("its records do not end where they should");
    }

  private:
    bool damaged(const char* why) { return fail("%s is damaged: %s", path_, why); }

    bool name(Words& records, std::string& text) {
        uint32_t offset = records.next(), length = records.next();
        if (uint64_t(offset) + length > name_bytes_) return damaged("a name lies outside");
        copied_ += length;
        if (copied_ > MAX_NAME_BYTES) return damaged("its names are too long");
        text.assign(names_ + offset, length);
        for (char& letter : text)
            if (letter == '\0') letter = '_';
        return true;
    }

    bool tensor(Words& records) {
        Tensor found{};
        uint32_t kind = records.next(), bits = records.next(), zero_point = records.next(), constant = records.next();
        found.offset = records.next();
        if (!name(records, found.name)) return false;
        uint32_t rank = records.count();
        found.elements = 1;
        for (uint32_t i = 0; i < rank; i++) {
            found.dims.push_back(records.next());
            found.elements = product(found.elements, found.dims.back());
        }
        if (records.is_short()) return damaged("a tensor is cut off");
        if (kind >= contract::KIND_COUNT || constant > 1 || bits > 32) return damaged("a tensor of an unknown kind");
        found.kind = Kind(kind);
        found.bits = int(bits);
        found.constant = constant;
        uint32_t widest = found.kind == Kind::u8 ? 8 : 16;
        if ((found.codes() || found.kind == Kind::weights) && (bits < 1 || bits > widest))
            return damaged("a tensor of an impossible width");
        if (found.codes() && zero_point > uint32_t(found.qmax())) return damaged("a zero point that is no code");
        found.zero_point = int(zero_point);
        if (found.elements < 1 || found.elements > MAX_ELEMENTS) return damaged("a tensor of an impossible shape");
        bool packed = found.kind == Kind::weights;
        if (packed && !constant) return damaged("weights that are no constant");
        Buffer<uint8_t>& place = packed ? model_.weights : constant ? model_.constants : model_.arena;
        if (found.offset + found.bytes() > place.size()) return damaged("a tensor lies outside");
        if (found.offset % (found.kind == Kind::i64 || found.kind == Kind::f64 ? 8 : 4)) return damaged("a tensor lies between two numbers");
        found.data = place.data() + found.offset;
        model_.tensors.push_back(found);
        return true;
    }

    bool operation(Words& records) {
        Operation found{};
        found.code = records.next();
        if (!name(records, found.layer)) return false;
        uint32_t inputs = records.count();
        for (uint32_t i = 0; i < inputs; i++) found.inputs.push_back(records.next());
        found.output = records.next();
        uint32_t attributes = records.count();
        for (uint32_t i = 0; i < attributes; i++) found.attributes.push_back(int32_t(records.next()));
        if (records.is_short()) return damaged("an operation is cut off");
        for (uint32_t index : found.inputs)
            if (index >= model_.tensors.size()) return damaged("an operand is missing");
        if (found.output >= model_.tensors.size() || model_.tensors[found.output].constant)
            return damaged("an operation has no place for its result");
        for (uint32_t index : found.inputs)
            if (overlap(model_.tensors[index], model_.tensors[found.output]))
                return damaged("an operation writes over what it reads");
        model_.operations.push_back(found);
        return true;
    }

    static bool overlap(const Tensor& read, const Tensor& written) {
        return !read.constant && read.offset < written.offset + written.bytes() &&
               written.offset < read.offset + read.bytes();
    }

    const char* path_;
    Model& model_;
    const char* names_ = nullptr;
    size_t name_bytes_ = 0;
    uint64_t copied_ = 0;
};

inline bool load_model(const char* path, Model& model) {
    Buffer<uint8_t> file;
    return read_file(path, file) && Parser(path, model).parse(file.data(), file.size());
}

}  // namespace socquant
