// What every operator is: it checks its operation once, then runs as often as wanted without checks.
#pragma once

#include <memory>
#include <new>

#include "arithmetic.h"
#include "model.h"

namespace socquant {

// One operation while it is checked: its operands, its attributes in turn, and the pictures that are fed.
class Call {
  public:
    Call(const Operation& operation, Model& model) : operation_(operation), model_(model) {}

    // The pictures that are fed.
    size_t pictures() const { return model_.pictures.size(); }
    const Buffer<float>& picture(size_t index) const { return model_.pictures[index]; }
    uint64_t elements(size_t index) const { return model_.fed[index].elements; }

    size_t inputs() const { return operation_.inputs.size(); }
    // Beyond the last input: the output, whose kind and size the caller checks like any other's.
    Tensor& in(size_t index) {
        if (index >= inputs()) return bad_ = true, out();
        return model_.tensors[operation_.inputs[index]];
    }
    Tensor& out() { return model_.tensors[operation_.output]; }
    int32_t attribute() {
        if (next_ >= operation_.attributes.size()) return bad_ = true, 0;
        return operation_.attributes[next_++];
    }
    // An attribute that must lie in low..high.
    int32_t attribute(int32_t low, int32_t high) {
        int32_t value = attribute();
        if (value < low || value > high) bad_ = true;
        return value < low ? low : value > high ? high : value;
    }
    int32_t size() { return attribute(1, int32_t(MAX_ELEMENTS)); }
    size_t rank() { return size_t(attribute(1, 16)); }
    template <class Part>
    std::vector<Part> list(size_t count) {
        std::vector<Part> parts;
        for (size_t i = 0; i < count && !bad_; i++) parts.emplace_back(*this);
        return parts;
    }
    void need_clamp(const contract::Clamp& clamp) {
        need(clamp.low <= clamp.high && out().codes() && clamp.high <= out().qmax());
    }
    Scaled scaled(const contract::Scaled& given) {
        need_clamp(given.clamp);
        return {given.shift, out().zero_point, given.clamp.low, given.clamp.high};
    }
    void need(bool condition) { bad_ |= !condition; }
    void need_constant(Tensor& tensor, Kind kind, uint64_t elements) {
        need(tensor.constant && tensor.kind == kind && tensor.elements == elements);
    }
    bool finished() {
        need(next_ == operation_.attributes.size());
        return !bad_ || fail("the model is damaged: layer %s (operation %u) does not fit together",
                             operation_.layer.c_str(), operation_.code);
    }
    bool bad() const { return bad_; }

  private:
    const Operation& operation_;
    Model& model_;
    size_t next_ = 0;
    bool bad_ = false;
};

// What a profile says about an operator.
struct Work {
    const char* type = "";
    uint32_t filter[4] = {}, stride[2] = {}, pad[4] = {}, dilation[2] = {};
    double operations = 0, parameter_bytes = 0;
};

class Operator {
  public:
    virtual ~Operator() = default;
    virtual bool prepare(Call& call) = 0;
    virtual void run() = 0;
    Work work;
};

// Codes of either type as numbers.
struct Reader {
    const uint8_t* bytes = nullptr;
    const uint16_t* words = nullptr;
    int32_t zero_point = 0;

    Reader() = default;
    explicit Reader(const Tensor& tensor) : zero_point(tensor.zero_point) {
        if (tensor.kind == Kind::u8)
            bytes = tensor.as<uint8_t>();
        else
            words = tensor.as<uint16_t>();
    }
    int32_t minus_zp(size_t index) const { return int32_t(bytes ? bytes[index] : words[index]) - zero_point; }
};

// Calls `work(T*)` with the tensor's data as what they are.
template <class Function>
void with_codes(const Tensor& tensor, Function work) {
    if (tensor.kind == Kind::u8)
        work(tensor.as<uint8_t>());
    else
        work(tensor.as<uint16_t>());
}

// Calls `work(T*)` with the data of a tensor of numbers as what they are; a boolean is a byte.
template <class Function>
void with_numbers(const Tensor& tensor, Function work) {
    switch (tensor.kind) {
        case Kind::f32: return work(tensor.as<float>());
        case Kind::i32: return work(tensor.as<int32_t>());
        case Kind::i64: return work(tensor.as<int64_t>());
        case Kind::f64: return work(tensor.as<double>());
        case Kind::i8: return work(tensor.as<int8_t>());
        default: return work(tensor.as<uint8_t>());
    }
}

// The same where elements are only copied.
template <class Function>
void with_elements(const Tensor& tensor, Function work) {
    switch (tensor.element_bytes()) {
        case 1: return work(tensor.as<uint8_t>());
        case 4: return work(tensor.as<uint32_t>());
        default: return work(tensor.as<uint64_t>());
    }
}

// A tensor as lines along one of its axes; the elements of a line are `inner` apart.
struct Lines {
    size_t outer = 1, length = 1, inner = 1;

    Lines() = default;
    Lines(Call& call, const contract::Lines& given, const Tensor& x)
        : outer(size_t(given.outer)), length(size_t(given.length)), inner(size_t(given.inner)) {
        call.need(x.elements == product(outer, length, inner));
    }
    // Calls `work(line, first element)` for each line.
    template <class Function>
    void each(Function work) const {
        for (size_t o = 0; o < outer; o++)
            for (size_t i = 0; i < inner; i++) work(o * inner + i, o * length * inner + i);
    }
};

}  // namespace socquant
