// What stays in float, and the borders between float and codes. Elementwise results are those of any IEEE machine; sums
// are taken in double and rounded once, so that they too are the same everywhere (docs/board.md compares them with ONNX
// Runtime's).
#pragma once

#include <limits>

#include "operators/codes.h"
#include "operators/elementwise.h"

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

// `of` computes one code.
template <int32_t (*of)(float, float, int32_t, int32_t)>
class Quantizing : public Operator {
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
            for (size_t i = 0; i < in_->elements; i++) out[i] = T(of(x[i], scales_[i], out_->zero_point, out_->qmax()));
        });
    }

  private:
    const Tensor *in_ = nullptr, *out_ = nullptr;
    Scales scales_;
};

class Quantize : public Quantizing<quantize> {};
class QuantizeAway : public Quantizing<quantize_away> {};  // as TPU-MLIR casts

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

// Convolutions and products with weights [channels, kh, kw, inside], constant or computed.
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
        call.need(weights.kind == Kind::f32 && weights.elements == product(channels_, depth));
        call.need(bias.kind == Kind::f32 && bias.elements == channels_);
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
        a_ = &call.in(0), b_ = &call.in(1), out_ = &call.out();
        call.need(out_->reals() && a_->kind == out_->kind && b_->kind == out_->kind);
        work.operations = 2.0 * double(out_->elements) * double(product_.inner);
        return call.finished();
    }
    void run() override {
        if (out_->kind == Kind::f32)
            multiply_all(a_->as<float>(), b_->as<float>(), out_->as<float>());
        else
            multiply_all(a_->as<double>(), b_->as<double>(), out_->as<double>());
    }

  private:
    template <class T>
    void multiply_all(const T* a, const T* b, T* out) {
        for (size_t n = 0; n < product_.batch; n++)
            for (size_t row = 0; row < product_.rows; row++)
                for (size_t column = 0; column < product_.columns; column++) {
                    const T* left = a + product_.left[n] + row * product_.inner;
                    const T* right = b + product_.right[n] + column;
                    double total = 0.0;
                    for (size_t k = 0; k < product_.inner; k++)
                        total += double(left[k]) * double(right[k * product_.columns]);
                    *out++ = T(total);
                }
    }

    Product product_;
    const Tensor *a_ = nullptr, *b_ = nullptr, *out_ = nullptr;
};

// The sum, product, largest or smallest of the values along some axes; sums of floats are divided by `divisor`: 1, or
// the number of values for a mean.
class Reduce : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Reduce";
        contract::Reduce attributes(call);
        function_ = attributes.function;
        divisor_ = attributes.divisor;
        in_ = &call.in(0), out_ = &call.out();
        call.need(call.inputs() == 1 && in_->kind == out_->kind && (in_->reals() || in_->integers()));
        if (!reduction_.prepare(call, attributes.axes, *in_)) return call.finished();
        if (in_->reals()) return call.finished() && reals_.allocate(out_->elements);
        return call.finished() && integers_.allocate(out_->elements);
    }
    void run() override {
        if (in_->kind == Kind::f32)
            reduce(in_->as<float>(), out_->as<float>(), reals_, double(divisor_));
        else if (in_->kind == Kind::f64)
            reduce(in_->as<double>(), out_->as<double>(), reals_, double(divisor_));
        else if (in_->kind == Kind::i32)
            reduce(in_->as<int32_t>(), out_->as<int32_t>(), integers_, int64_t(divisor_));
        else
            reduce(in_->as<int64_t>(), out_->as<int64_t>(), integers_, int64_t(divisor_));
    }

  private:
    using Function = contract::ReduceFunction;

    template <class T, class Sum>
    void reduce(const T* x, T* out, Buffer<Sum>& sums, Sum divisor) {
        for (size_t i = 0; i < sums.size(); i++) sums[i] = first<Sum>();
        reduction_.each([&](size_t in, size_t to) { sums[to] = joined(sums[to], Sum(x[in])); });
        for (size_t i = 0; i < sums.size(); i++) out[i] = T(sums[i] / divisor);
    }
    template <class Sum>
    Sum first() const {
        using Limits = std::numeric_limits<Sum>;
        switch (function_) {
            case Function::sum: return 0;
            case Function::product: return 1;
            case Function::max: return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
            case Function::min: return Limits::has_infinity ? Limits::infinity() : Limits::max();
        }
        return 0;
    }
    double joined(double sum, double x) const {
        switch (function_) {
            case Function::sum: return sum + x;
            case Function::product: return sum * x;
            case Function::max: return x > sum || x != x ? x : sum;
            case Function::min: return x < sum || x != x ? x : sum;
        }
        return sum;
    }
    int64_t joined(int64_t sum, int64_t x) const {
        switch (function_) {
            case Function::sum: return add(sum, x);
            case Function::product: return multiply(sum, x);
            case Function::max: return x > sum ? x : sum;
            case Function::min: return x < sum ? x : sum;
        }
        return sum;
    }

    Reduction reduction_;
    Function function_ = Function::sum;
    int32_t divisor_ = 1;
    const Tensor *in_ = nullptr, *out_ = nullptr;
    Buffer<double> reals_;
    Buffer<int64_t> integers_;
};

class Softmax : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Softmax";
        in_ = &call.in(0), out_ = &call.out();
        lines_ = Lines(call, contract::Softmax(call).lines, *in_);
        call.need(in_->reals() && out_->kind == in_->kind && in_->elements == out_->elements);
        return call.finished();
    }
    void run() override {
        if (in_->kind == Kind::f32)
            each(in_->as<float>(), out_->as<float>());
        else
            each(in_->as<double>(), out_->as<double>());
    }

  private:
    template <class T>
    void each(const T* x, T* out) {
        lines_.each([this, x, out](size_t, size_t first) {
            size_t inner = lines_.inner, end = first + lines_.length * inner;
            T largest = x[first];
            for (size_t i = first; i < end; i += inner)
                if (x[i] > largest) largest = x[i];
            double total = 0.0;
            for (size_t i = first; i < end; i += inner) total += exponential(double(x[i]) - double(largest));
            for (size_t i = first; i < end; i += inner)
                out[i] = T(exponential(double(x[i]) - double(largest)) / total);
        });
    }

    Lines lines_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
};

}  // namespace socquant
