// What stays in float, and the borders between float and codes. Elementwise results are those of any IEEE machine; sums
// are taken in double and rounded once, so that they too are the same everywhere (docs/board.md compares them with ONNX
// Runtime's).
#pragma once

#include "operators/codes.h"

namespace socquant {

// The scale of each channel, or one for all; `inner` elements of a channel are neighbours.
class Scales {
  public:
    void prepare(Call& call, size_t operand, uint64_t elements) {
        contract::Scales attributes(call);
        channels_ = size_t(attributes.channels), inner_ = size_t(attributes.inner);
        Tensor& scales = call.in(operand);
        call.need_constant(scales, Kind::f32, channels_);
        call.need(channels_ == 1 || elements % product(channels_, inner_) == 0);
        values_ = scales.as<float>();
    }
    float operator[](size_t index) const { return channels_ == 1 ? values_[0] : values_[index / inner_ % channels_]; }

  private:
    const float* values_ = nullptr;
    size_t channels_ = 1, inner_ = 1;
};

class Quantize : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Quantize";
        in_ = &call.in(0), out_ = &call.out();
        scales_.prepare(call, 1, in_->elements);
        call.need(in_->kind == Kind::f32 && out_->codes() && in_->elements == out_->elements);
        return call.finished();
    }
    void run() override {
        const float* x = in_->as<float>();
        with_codes(*out_, [&](auto* out) {
            using T = std::remove_reference_t<decltype(*out)>;
            for (size_t i = 0; i < in_->elements; i++)
                out[i] = T(quantize(x[i], scales_[i], out_->zero_point, out_->qmax()));
        });
    }

  private:
    const Tensor *in_ = nullptr, *out_ = nullptr;
    Scales scales_;
};

class Dequantize : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Dequantize";
        in_ = &call.in(0), out_ = &call.out();
        scales_.prepare(call, 1, in_->elements);
        call.need(in_->codes() && out_->kind == Kind::f32 && in_->elements == out_->elements);
        return call.finished();
    }
    void run() override {
        Reader x(*in_);
        float* out = out_->as<float>();
        for (size_t i = 0; i < in_->elements; i++) out[i] = float(x.minus_zp(i)) * scales_[i];
    }

  private:
    const Tensor *in_ = nullptr, *out_ = nullptr;
    Scales scales_;
};

class FloatUnary : public Operator {
  public:
    bool prepare(Call& call) override {
        function_ = contract::FloatUnary(call).function;
        work.type = profile_type(function_);
        in_ = &call.in(0), out_ = &call.out();
        call.need(in_->kind == Kind::f32 && out_->kind == Kind::f32 && in_->elements == out_->elements);
        call.need_constant(call.in(1), Kind::f32, 2);
        first_ = call.in(1).as<float>()[0], second_ = call.in(1).elements > 1 ? call.in(1).as<float>()[1] : 0.0f;
        return call.finished();
    }
    void run() override {
        const float* x = in_->as<float>();
        float* out = out_->as<float>();
        for (size_t i = 0; i < in_->elements; i++) out[i] = value(x[i]);
    }

  private:
    using Function = contract::FloatUnaryFunction;

    static const char* profile_type(Function function) {
        switch (function) {
            case Function::clip: return "Clip";
            case Function::leaky_relu: return "LeakyRelu";
            case Function::sigmoid: return "Sigmoid";
            case Function::tanh: return "Tanh";
            case Function::hard_sigmoid: return "HardSigmoid";
            case Function::hard_swish: return "HardSwish";
            case Function::exp: return "Exp";
            case Function::sqrt: return "Sqrt";
            case Function::neg: return "Neg";
            case Function::abs: return "Abs";
        }
        return "";
    }

    float value(float x) const {
        switch (function_) {
            case Function::clip: return x < first_ ? first_ : x > second_ ? second_ : x;
            case Function::leaky_relu: return x < 0.0f ? x * first_ : x;
            case Function::sigmoid: return float(1.0 / (1.0 + exponential(-double(x))));
            case Function::tanh: return float(1.0 - 2.0 / (exponential(2.0 * double(x)) + 1.0));
            case Function::hard_sigmoid: return hard_sigmoid(x);
            case Function::hard_swish: return x * hard_sigmoid(x);
            case Function::exp: return float(exponential(double(x)));
            case Function::sqrt: return __builtin_sqrtf(x);
            case Function::neg: return -x;
            case Function::abs: return __builtin_fabsf(x);
        }
        return x;
    }
    float hard_sigmoid(float x) const { return clamp(first_ * x + second_, 0.0f, 1.0f); }

    Function function_ = Function::clip;
    float first_ = 0, second_ = 0;
    const Tensor *in_ = nullptr, *out_ = nullptr;
};

class FloatBinary : public Operator {
  public:
    bool prepare(Call& call) override {
        contract::FloatBinary attributes(call);
        function_ = attributes.function;
        work.type = profile_type(function_);
        Tensor &a = call.in(0), &b = call.in(1);
        call.need(call.inputs() == 2 && a.kind == Kind::f32 && b.kind == Kind::f32 && call.out().kind == Kind::f32);
        if (!broadcast_.prepare(call, attributes.axes, a, b)) return call.finished();
        a_ = a.as<float>(), b_ = b.as<float>(), out_ = call.out().as<float>();
        return call.finished();
    }
    void run() override {
        broadcast_.each([this](size_t to, size_t a, size_t b, size_t length, size_t step_a, size_t step_b) {
            for (size_t i = 0; i < length; i++) out_[to + i] = value(a_[a + i * step_a], b_[b + i * step_b]);
        });
    }

  private:
    using Function = contract::FloatBinaryFunction;

    static const char* profile_type(Function function) {
        switch (function) {
            case Function::add: return "EltwiseAdd";
            case Function::sub: return "EltwiseSub";
            case Function::mul: return "EltwiseMul";
            case Function::div: return "EltwiseDiv";
            case Function::max: return "EltwiseMax";
            case Function::min: return "EltwiseMin";
            case Function::prelu: return "PRelu";
        }
        return "";
    }

    float value(float a, float b) const {
        switch (function_) {
            case Function::add: return a + b;
            case Function::sub: return a - b;
            case Function::mul: return a * b;
            case Function::div: return a / b;
            case Function::max: return a > b ? a : b;
            case Function::min: return a < b ? a : b;
            case Function::prelu: return a < 0.0f ? a * b : a;
        }
        return a;
    }

    Function function_ = Function::add;
    Broadcast broadcast_;
    const float *a_ = nullptr, *b_ = nullptr;
    float* out_ = nullptr;
};

// Convolutions and products with constant weights [channels, kh, kw, inside].
class FloatConv : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Convolution";
        contract::FloatConv attributes(call);
        window_.emplace(call, attributes.window, attributes.transposed);
        groups_ = uint32_t(attributes.groups), channels_ = uint32_t(attributes.channels);
        Tensor &x = call.in(0), &weights = call.in(1), &bias = call.in(2);
        call.need(window_->c % int32_t(groups_) == 0 && channels_ % groups_ == 0 && call.inputs() == 3);
        if (call.bad()) return call.finished();
        inside_ = uint32_t(window_->c) / groups_;
        uint64_t depth = product(window_->kh, window_->kw, inside_);
        call.need(x.kind == Kind::f32 && x.elements == window_->input_elements());
        call.need(call.out().kind == Kind::f32 && call.out().elements == window_->output_elements(channels_));
        call.need_constant(weights, Kind::f32, product(channels_, depth));
        call.need_constant(bias, Kind::f32, channels_);
        x_ = x.as<float>(), weights_ = weights.as<float>(), bias_ = bias.as<float>(), out_ = call.out().as<float>();
        window_->describe(work, inside_, channels_);
        work.operations = 2.0 * double(call.out().elements) * double(depth);
        work.parameter_bytes = 4.0 * double(weights.elements + channels_);
        return call.finished();
    }
    void run() override {
        float* out = out_;
        uint32_t outside = channels_ / groups_;
        for (int32_t n = 0; n < window_->n; n++)
            for (int32_t row = 0; row < window_->ho; row++)
                for (int32_t column = 0; column < window_->wo; column++)
                    for (uint32_t m = 0; m < channels_; m++)
                        *out++ = float(sum(n, row, column, m, m / outside * inside_) + double(bias_[m]));
    }

  private:
    double sum(int32_t n, int32_t row, int32_t column, uint32_t m, uint32_t begin) const {
        double total = 0.0;
        const float* weight = weights_ + size_t(m) * window_->kh * window_->kw * inside_;
        for (int32_t i = 0; i < window_->kh; i++) {
            int32_t from = window_->row(row, i);
            for (int32_t j = 0; j < window_->kw; j++, weight += inside_) {
                int32_t along = from < 0 ? -1 : window_->column(column, j);
                if (along < 0) continue;
                const float* x = x_ + ((size_t(n) * window_->h + from) * window_->w + along) * window_->c + begin;
                for (uint32_t k = 0; k < inside_; k++) total += double(x[k]) * double(weight[k]);
            }
        }
        return total;
    }

    std::optional<Window> window_;
    uint32_t groups_ = 1, channels_ = 1, inside_ = 1;
    const float *x_ = nullptr, *weights_ = nullptr, *bias_ = nullptr;
    float* out_ = nullptr;
};

class FloatMatMul : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "MatMul";
        product_.prepare(call, contract::FloatMatMul(call).product);
        Tensor &a = call.in(0), &b = call.in(1);
        call.need(a.kind == Kind::f32 && b.kind == Kind::f32 && call.out().kind == Kind::f32);
        a_ = a.as<float>(), b_ = b.as<float>(), out_ = call.out().as<float>();
        return call.finished();
    }
    void run() override {
        float* out = out_;
        for (size_t n = 0; n < product_.batch; n++)
            for (size_t row = 0; row < product_.rows; row++)
                for (size_t column = 0; column < product_.columns; column++) {
                    const float* left = a_ + product_.left[n] + row * product_.inner;
                    const float* right = b_ + product_.right[n] + column;
                    double total = 0.0;
                    for (size_t k = 0; k < product_.inner; k++)
                        total += double(left[k]) * double(right[k * product_.columns]);
                    *out++ = float(total);
                }
    }

  private:
    Product product_;
    const float *a_ = nullptr, *b_ = nullptr;
    float* out_ = nullptr;
};

// Sums over axes, divided by `divisor`: 1, or the number of values for a mean.
class FloatSum : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Reduce";
        contract::FloatSum attributes(call);
        divisor_ = attributes.divisor;
        Tensor& x = call.in(0);
        call.need(call.inputs() == 1 && x.kind == Kind::f32 && call.out().kind == Kind::f32);
        if (!reduction_.prepare(call, attributes.axes, x)) return call.finished();
        in_ = x.as<float>(), out_ = call.out().as<float>();
        return call.finished() && sums_.allocate(call.out().elements);
    }
    void run() override {
        memset(sums_.data(), 0, sums_.size() * sizeof(double));
        reduction_.each([this](size_t in, size_t out) { sums_[out] += double(in_[in]); });
        for (size_t i = 0; i < sums_.size(); i++) out_[i] = float(sums_[i] / divisor_);
    }

  private:
    Reduction reduction_;
    int32_t divisor_ = 1;
    const float* in_ = nullptr;
    float* out_ = nullptr;
    Buffer<double> sums_;
};

class Softmax : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Softmax";
        contract::Softmax attributes(call);
        outer_ = size_t(attributes.outer), length_ = size_t(attributes.length), inner_ = size_t(attributes.inner);
        Tensor& x = call.in(0);
        call.need(x.kind == Kind::f32 && call.out().kind == Kind::f32 && x.elements == call.out().elements);
        call.need(x.elements == product(outer_, length_, inner_));
        in_ = x.as<float>(), out_ = call.out().as<float>();
        return call.finished();
    }
    void run() override {
        for (size_t o = 0; o < outer_; o++)
            for (size_t i = 0; i < inner_; i++) {
                size_t first = o * length_ * inner_ + i;
                float largest = in_[first];
                for (size_t k = 1; k < length_; k++)
                    if (in_[first + k * inner_] > largest) largest = in_[first + k * inner_];
                double total = 0.0;
                for (size_t k = 0; k < length_; k++)
                    total += exponential(double(in_[first + k * inner_]) - double(largest));
                for (size_t k = 0; k < length_; k++) {
                    size_t at = first + k * inner_;
                    out_[at] = float(exponential(double(in_[at]) - double(largest)) / total);
                }
            }
    }

  private:
    size_t outer_ = 1, length_ = 1, inner_ = 1;
    const float* in_ = nullptr;
    float* out_ = nullptr;
};

}  // namespace socquant
