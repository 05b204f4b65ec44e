// Functions of numbers that are no codes, element by element: of one tensor, of two that broadcast, of three, and casts.
#pragma once

#include <cmath>
#include <type_traits>

#include "operators/broadcast.h"

namespace socquant {

// A function of one number in double: what an activation inside a recurrent layer is too.
inline double function_of(contract::FloatUnaryFunction function, float first, float second, double x) {
    using Function = contract::FloatUnaryFunction;
    switch (function) {
        case Function::clip: return x < double(first) ? double(first) : x > double(second) ? double(second) : x;
        case Function::leaky_relu: return x < 0.0 ? x * double(first) : x;
        case Function::sigmoid: return 1.0 / (1.0 + exponential(-x));
        case Function::tanh: return 1.0 - 2.0 / (exponential(2.0 * x) + 1.0);
        case Function::hard_sigmoid: return clamp(double(first) * x + double(second), 0.0, 1.0);
        case Function::exp: return exponential(x);
        case Function::log: return std::log(x);
        case Function::sqrt: return std::sqrt(x);
        case Function::neg: return -x;
        case Function::abs: return std::fabs(x);
        case Function::reciprocal: return 1.0 / x;
        case Function::floor: return std::floor(x);
        case Function::ceil: return std::ceil(x);
        case Function::round: return std::nearbyint(x);
        case Function::sign: return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;
        case Function::sin: return std::sin(x);
        case Function::cos: return std::cos(x);
        case Function::atan: return std::atan(x);
        case Function::erf: return std::erf(x);
        case Function::softplus: return (x > 0.0 ? x : 0.0) + std::log(exponential(-std::fabs(x)) + 1.0);
        default: return x;
    }
}

class FloatUnary : public Operator {
  public:
    bool prepare(Call& call) override {
        function_ = contract::FloatUnary(call).function;
        work.type = profile_type(function_);
        Tensor &x = call.in(0), &out = call.out();
        bool negation = function_ == Function::negation;
        bool asks = negation || function_ == Function::is_nan || function_ == Function::is_inf;
        call.need(call.inputs() == 2 && (negation ? x.kind == Kind::boolean : x.reals()));
        call.need(out.kind == (asks ? Kind::boolean : x.kind) && x.elements == out.elements);
        call.need_constant(call.in(1), Kind::f32, 2);
        if (call.bad()) return call.finished();
        first_ = call.in(1).as<float>()[0], second_ = call.in(1).as<float>()[1];
        in_ = &x, out_ = &out;
        return call.finished();
    }
    void run() override {
        if (function_ == Function::negation) {
            const uint8_t* x = in_->as<uint8_t>();
            for (size_t i = 0; i < in_->elements; i++) out_->as<uint8_t>()[i] = !x[i];
        } else if (in_->kind == Kind::f32) {
            each(in_->as<float>(), out_->as<float>());
        } else {
            each(in_->as<double>(), out_->as<double>());
        }
    }

  private:
    using Function = contract::FloatUnaryFunction;

    template <class T>
    void each(const T* x, T* out) {
        uint8_t* answers = out_->as<uint8_t>();
        size_t count = size_t(in_->elements);
        switch (function_) {
            case Function::is_nan:
                for (size_t i = 0; i < count; i++) answers[i] = x[i] != x[i];
                return;
            case Function::is_inf:  // `first` and `second` say whether the negative and the positive one count
                for (size_t i = 0; i < count; i++)
                    answers[i] = std::isinf(x[i]) && (x[i] < 0 ? first_ : second_) != 0.0f;
                return;
            case Function::leaky_relu:  // one rounding, of a product
                for (size_t i = 0; i < count; i++) out[i] = x[i] < 0 ? x[i] * T(first_) : x[i];
                return;
            default:
                for (size_t i = 0; i < count; i++) out[i] = T(function_of(function_, first_, second_, double(x[i])));
        }
    }

    static const char* profile_type(Function function) {
        switch (function) {
            case Function::clip: return "Clip";
            case Function::leaky_relu: return "LeakyRelu";
            case Function::sigmoid: return "Sigmoid";
            case Function::tanh: return "Tanh";
            case Function::hard_sigmoid: return "HardSigmoid";
            case Function::exp: return "Exp";
            case Function::log: return "Log";
            case Function::sqrt: return "Sqrt";
            case Function::neg: return "Neg";
            case Function::abs: return "Abs";
            case Function::reciprocal: return "Reciprocal";
            case Function::floor: return "Floor";
            case Function::ceil: return "Ceil";
            case Function::round: return "Round";
            case Function::sign: return "Sign";
            case Function::sin: return "Sin";
            case Function::cos: return "Cos";
            case Function::atan: return "Atan";
            case Function::erf: return "Erf";
            case Function::softplus: return "Softplus";
            case Function::is_nan: return "IsNaN";
            case Function::is_inf: return "IsInf";
            case Function::negation: return "Not";
        }
        return "";
    }

    Function function_ = Function::clip;
    float first_ = 0, second_ = 0;
    const Tensor *in_ = nullptr, *out_ = nullptr;
};

class NumberBinary : public Operator {
  public:
    bool prepare(Call& call) override {
        contract::NumberBinary attributes(call);
        function_ = attributes.function;
        work.type = profile_type(function_);
        a_ = &call.in(0), b_ = &call.in(1), out_ = &call.out();
        bool logical = function_ >= Function::logical_and, answers = function_ >= Function::equal;
        call.need(call.inputs() == 2 && a_->kind == b_->kind && a_->numbers());
        call.need(a_->kind == Kind::boolean ? logical || function_ == Function::equal : !logical);
        call.need(out_->kind == (answers ? Kind::boolean : a_->kind));
        if (!broadcast_.prepare(call, attributes.axes, *a_, *b_)) return call.finished();
        return call.finished();
    }
    void run() override {
        with_numbers(*a_, [this](auto* a) {
            using T = std::remove_reference_t<decltype(*a)>;
            if (function_ >= Function::equal)
                each(a, b_->as<T>(), out_->as<uint8_t>(), [this](T x, T y) { return uint8_t(answer(x, y)); });
            else
                each(a, b_->as<T>(), out_->as<T>(), [this](T x, T y) { return this->value(x, y); });
        });
    }

  private:
    using Function = contract::NumberBinaryFunction;

    static const char* profile_type(Function function) {
        switch (function) {
            case Function::add: return "EltwiseAdd";
            case Function::sub: return "EltwiseSub";
            case Function::mul: return "EltwiseMul";
            case Function::div: return "EltwiseDiv";
            case Function::max: return "EltwiseMax";
            case Function::min: return "EltwiseMin";
            case Function::prelu: return "PRelu";
            case Function::pow: return "Pow";
            case Function::mod: case Function::fmod: return "Mod";
            case Function::equal: return "Equal";
            case Function::greater: return "Greater";
            case Function::greater_or_equal: return "GreaterOrEqual";
            case Function::logical_and: return "And";
            case Function::logical_or: return "Or";
            case Function::logical_xor: return "Xor";
        }
        return "";
    }

    template <class T, class R, class Value>
    void each(const T* a, const T* b, R* out, Value work) {
        broadcast_.each([&](size_t to, size_t x, size_t y, size_t length, size_t step_a, size_t step_b) {
            for (size_t i = 0; i < length; i++) out[to + i] = work(a[x + i * step_a], b[y + i * step_b]);
        });
    }

    template <class T>
    bool answer(T a, T b) const {
        switch (function_) {
            case Function::equal: return a == b;
            case Function::greater: return a > b;
            case Function::greater_or_equal: return a >= b;
            case Function::logical_and: return a != 0 && b != 0;
            case Function::logical_or: return a != 0 || b != 0;
            default: return (a != 0) != (b != 0);
        }
    }

    template <class T>
    T value(T a, T b) const {
        if constexpr (std::is_floating_point_v<T>)
            return of_reals(a, b);
        else
            return T(of_integers(int64_t(a), int64_t(b)));
    }

    template <class T>
    T of_reals(T a, T b) const {
        switch (function_) {
            case Function::add: return a + b;
            case Function::sub: return a - b;
            case Function::mul: return a * b;
            case Function::div: return a / b;
            case Function::max: return a > b ? a : b;
            case Function::min: return a < b ? a : b;
            case Function::prelu: return a < 0 ? a * b : a;
            case Function::pow: return T(std::pow(double(a), double(b)));
            case Function::mod: {
                T rest = std::fmod(a, b);
                return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
            }
            default: return std::fmod(a, b);
        }
    }

    // Integers wrap; a division by 0 gives 0.
    int64_t of_integers(int64_t a, int64_t b) const {
        switch (function_) {
            case Function::add: return add(a, b);
            case Function::sub: return int64_t(uint64_t(a) - uint64_t(b));
            case Function::mul: return multiply(a, b);
            case Function::div: return b == 0 ? 0 : b == -1 ? multiply(a, b) : a / b;
            case Function::max: return a > b ? a : b;
            case Function::min: return a < b ? a : b;
            case Function::prelu: return a < 0 ? multiply(a, b) : a;
            case Function::pow: return power(a, b);
            default: {
                int64_t rest = b == 0 || b == -1 ? 0 : a % b;
                return function_ == Function::mod && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
            }
        }
    }

    static int64_t power(int64_t base, int64_t exponent) {
        if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
        int64_t result = 1;
        for (; exponent > 0; exponent >>= 1, base = multiply(base, base))
            if (exponent & 1) result = multiply(result, base);
        return result;
    }

    Function function_ = Function::add;
    Broadcast broadcast_;
    const Tensor *a_ = nullptr, *b_ = nullptr, *out_ = nullptr;
};

class Where : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Where";
        uint64_t elements = uint64_t(contract::Where(call).elements);
        a_ = &call.in(1), b_ = &call.in(2), out_ = &call.out();
        condition_ = call.in(0).as<uint8_t>();
        call.need(call.inputs() == 3 && call.in(0).kind == Kind::boolean && call.in(0).elements == elements);
        for (const Tensor* tensor : {a_, b_, out_})
            call.need(tensor->elements == elements && tensor->numbers() && tensor->kind == out_->kind);
        return call.finished();
    }
    void run() override {
        with_elements(*out_, [this](auto* out) {
            using T = std::remove_reference_t<decltype(*out)>;
            const T *a = a_->as<T>(), *b = b_->as<T>();
            for (size_t i = 0; i < out_->elements; i++) out[i] = condition_[i] ? a[i] : b[i];
        });
    }

  private:
    const uint8_t* condition_ = nullptr;
    const Tensor *a_ = nullptr, *b_ = nullptr, *out_ = nullptr;
};

// A float becomes the integer toward 0; what is too large becomes the largest one, what is no number 0.
class Cast : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Cast";
        uint64_t elements = uint64_t(contract::Cast(call).elements);
        in_ = &call.in(0), out_ = &call.out();
        call.need(call.inputs() == 1 && in_->elements == elements && out_->elements == elements);
        call.need(in_->numbers() && out_->numbers());
        return call.finished();
    }
    void run() override {
        size_t count = size_t(out_->elements);
        with_numbers(*in_, [this, count](auto* x) {
            for (size_t i = 0; i < count; i++)
                if (in_->reals())
                    put_real(i, double(x[i]));
                else
                    put(i, int64_t(x[i]));
        });
    }

  private:
    void put_real(size_t i, double value) {
        switch (out_->kind) {
            case Kind::f32: out_->as<float>()[i] = float(value); break;
            case Kind::f64: out_->as<double>()[i] = value; break;
            case Kind::boolean: out_->as<uint8_t>()[i] = value != 0; break;
            default: put(i, toward_zero(value, out_->kind == Kind::i64 ? 63 : 31));
        }
    }
    void put(size_t i, int64_t value) {
        switch (out_->kind) {
            case Kind::f32: out_->as<float>()[i] = float(value); break;
            case Kind::f64: out_->as<double>()[i] = double(value); break;
            case Kind::i32: out_->as<int32_t>()[i] = int32_t(value); break;
            case Kind::i64: out_->as<int64_t>()[i] = value; break;
            case Kind::boolean: out_->as<uint8_t>()[i] = value != 0; break;
            default: out_->as<uint8_t>()[i] = uint8_t(value);
        }
    }
    // Where integers of so many bits end, they are the last one.
    static int64_t toward_zero(double x, int bits) {
        if (x != x) return 0;
        double end = std::ldexp(1.0, bits);
        int64_t last = int64_t((uint64_t(1) << bits) - 1);
        return x >= end ? last : x < -end ? -last - 1 : int64_t(x);
    }

    const Tensor *in_ = nullptr, *out_ = nullptr;
};

}  // namespace socquant
