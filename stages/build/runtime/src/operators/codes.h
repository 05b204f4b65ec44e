// Operators on codes that have no weights: sums and products, joining, tables, means, pools, interpolation.
#pragma once

#include "operators/broadcast.h"
#include "operators/conv.h"

namespace socquant {

// Add, Mul, Max, Min of two features; PRelu of a feature and its slopes.
class Binary : public Operator {
  public:
    bool prepare(Call& call) override {
        contract::Binary attributes(call);
        function_ = attributes.function;
        work.type = profile_type(function_);
        left_ = attributes.left, right_ = attributes.right;
        scaled_ = call.scaled(attributes.scaled);
        Tensor &a = call.in(0), &b = call.in(1);
        call.need(call.inputs() == 2 && a.codes());
        call.need(function_ == Function::prelu ? b.constant && b.kind == Kind::i32 : b.codes());
        if (!broadcast_.prepare(call, attributes.axes, a, b)) return call.finished();
        a_ = Reader(a), out_ = &call.out();
        if (function_ == Function::prelu)
            slopes_ = b.as<int32_t>();
        else
            b_ = Reader(b);
        // 32 bits do for what most networks hold
        small_ = function_ == Function::add && a_.bytes && b_.bytes && scaled_.shift < 30 &&
                 510 * (magnitude(left_) + magnitude(right_)) + (1 << (scaled_.shift - 1)) <= INT32_MAX;
        return call.finished();
    }

    void run() override {
        with_codes(*out_, [this](auto* out) {
            switch (function_) {
                case Function::add:
                    if (small_) return small_sums(out);
                    return each(out, [this](size_t a, size_t b) {
                        return scaled_(add(multiply(a_.minus_zp(a), left_), multiply(b_.minus_zp(b), right_)));
                    });
                case Function::mul:
                    return each(out, [this](size_t a, size_t b) {
                        return scaled_(multiply(multiply(a_.minus_zp(a), b_.minus_zp(b)), left_));
                    });
                case Function::max:
                    return each(out, [this](size_t a, size_t b) {
                        int32_t x = scaled_(multiply(a_.minus_zp(a), left_));
                        int32_t y = scaled_(multiply(b_.minus_zp(b), right_));
                        return x > y ? x : y;
                    });
                case Function::min:
                    return each(out, [this](size_t a, size_t b) {
                        int32_t x = scaled_(multiply(a_.minus_zp(a), left_));
                        int32_t y = scaled_(multiply(b_.minus_zp(b), right_));
                        return x < y ? x : y;
                    });
                case Function::prelu:
                    return each(out, [this](size_t a, size_t b) {
                        int32_t x = a_.minus_zp(a);
                        return scaled_(multiply(x, x >= 0 ? left_ : slopes_[b]));
                    });
            }
        });
    }

  private:
    using Function = contract::BinaryFunction;

    static const char* profile_type(Function function) {
        switch (function) {
            case Function::add: return "EltwiseAdd";
            case Function::mul: return "EltwiseMul";
            case Function::max: return "EltwiseMax";
            case Function::min: return "EltwiseMin";
            case Function::prelu: return "PRelu";
        }
        return "";
    }

    static int64_t magnitude(int32_t value) { return value < 0 ? -int64_t(value) : int64_t(value); }

    template <class T, class Function>
    void each(T* out, Function value) {
        broadcast_.each([&](size_t to, size_t a, size_t b, size_t length, size_t step_a, size_t step_b) {
            for (size_t i = 0; i < length; i++) out[to + i] = T(value(a + i * step_a, b + i * step_b));
        });
    }

    template <class T>
    void small_sums(T* out) {
        int32_t half = 1 << (scaled_.shift - 1), shift = scaled_.shift;
        int32_t low = scaled_.low - scaled_.zero_point, high = scaled_.high - scaled_.zero_point;
        int32_t start = half - a_.zero_point * left_ - b_.zero_point * right_;
        broadcast_.each([&](size_t to, size_t a, size_t b, size_t length, size_t step_a, size_t step_b) {
            const uint8_t* __restrict x = a_.bytes + a;
            const uint8_t* __restrict y = b_.bytes + b;
            T* __restrict z = out + to;
            if (step_a == 1 && step_b == 1)
                for (size_t i = 0; i < length; i++) {
                    int32_t sum = (start + x[i] * left_ + y[i] * right_) >> shift;
                    z[i] = T((sum < low ? low : sum > high ? high : sum) + scaled_.zero_point);
                }
            else
                for (size_t i = 0; i < length; i++) {
                    int32_t sum = (start + x[i * step_a] * left_ + y[i * step_b] * right_) >> shift;
                    z[i] = T((sum < low ? low : sum > high ? high : sum) + scaled_.zero_point);
                }
        });
    }

    Function function_ = Function::add;
    int32_t left_ = 0, right_ = 0;
    Scaled scaled_;
    Reader a_, b_;
    const int32_t* slopes_ = nullptr;
    const Tensor* out_ = nullptr;
    Broadcast broadcast_;
    bool small_ = false;
};

// Operands one behind the other along an axis, each brought to the output's scale.
class Concat : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Concat";
        out_ = &call.out();
        contract::Concat attributes(call);
        outer_ = size_t(attributes.outer);
        bool codes = out_->codes();
        Scaled scaled = codes ? call.scaled(attributes.scaled) : Scaled();
        size_t whole = 0;
        for (size_t i = 0; i < attributes.parts.size() && !call.bad(); i++) {
            Tensor& x = call.in(i);
            auto part = std::make_unique<Part>();
            part->in = &x;
            part->length = size_t(attributes.parts[i].length);
            part->multiplier = attributes.parts[i].multiplier;
            part->scaled = scaled;
            call.need(x.elements == product(outer_, part->length) && (codes ? x.codes() : x.kind == out_->kind));
            if (call.bad()) break;
            whole += part->length;
            part->same = !codes || (part->multiplier == int64_t(1) << scaled.shift && x.kind == out_->kind &&
                                    x.zero_point == out_->zero_point && scaled.low == 0 && scaled.high == out_->qmax() &&
                                    x.bits == out_->bits);
            if (!part->same && x.kind == Kind::u8) {
                if (!part->table.allocate(256)) return false;
                for (int32_t q = 0; q < 256; q++)
                    part->table[size_t(q)] = uint16_t(part->scaled(multiply(q - x.zero_point, part->multiplier)));
            }
            parts_.push_back(std::move(part));
        }
        whole_ = whole;
        call.need(out_->elements == product(outer_, whole ? whole : 1) && out_->kind != Kind::weights);
        return call.finished();
    }

    void run() override {
        size_t begin = 0;
        for (auto& part : parts_) {
            if (part->same)
                copy(*part, begin);
            else
                with_codes(*out_, [&](auto* out) { rescale(*part, out + begin); });
            begin += part->length;
        }
    }

  private:
    struct Part {
        const Tensor* in = nullptr;
        size_t length = 0;
        int32_t multiplier = 0;
        Scaled scaled;
        bool same = false;
        Buffer<uint16_t> table;
    };

    void copy(const Part& part, size_t begin) {
        size_t bytes = out_->element_bytes();
        for (size_t i = 0; i < outer_; i++)
            memcpy(out_->data + (i * whole_ + begin) * bytes, part.in->data + i * part.length * bytes,
                   part.length * bytes);
    }
    template <class T>
    void rescale(const Part& part, T* out) {
        Reader x(*part.in);
        for (size_t i = 0; i < outer_; i++, out += whole_)
            for (size_t k = 0; k < part.length; k++) {
                size_t at = i * part.length + k;
                out[k] = x.bytes ? T(part.table[x.bytes[at]]) : T(part.scaled(multiply(x.minus_zp(at), part.multiplier)));
            }
    }

    const Tensor* out_ = nullptr;
    std::vector<std::unique_ptr<Part>> parts_;
    size_t outer_ = 1, whole_ = 1;
};

// One-input functions: an entry for every code, the same for all channels or one table a channel.
class Table : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "LookupTable";
        Tensor &x = call.in(0), &table = call.in(1), &out = call.out();
        contract::Table attributes(call);
        channels_ = size_t(attributes.channels), inner_ = size_t(attributes.inner);
        call.need_clamp(attributes.clamp);
        call.need(call.inputs() == 2 && x.codes() && x.elements == out.elements);
        call.need(x.elements % product(channels_, inner_) == 0 && x.elements >= product(channels_, inner_));
        uint64_t entries = x.codes() ? uint64_t(1) << x.bits : 1;
        call.need(table.codes());
        call.need_constant(table, table.kind, product(channels_, entries));
        if (!call.finished()) return false;
        width_ = x.kind == Kind::u8 ? 256 : entries;  // whatever a byte holds is an entry
        if (!table_.allocate(channels_ * width_)) return false;
        for (size_t c = 0; c < channels_; c++)
            for (size_t q = 0; q < width_; q++) {
                size_t from = c * entries + (q < entries ? q : entries - 1);
                int32_t code = table.kind == Kind::u8 ? table.as<uint8_t>()[from] : table.as<uint16_t>()[from];
                table_[c * width_ + q] = uint16_t(clamp(code, attributes.clamp.low, attributes.clamp.high));
            }
        work.parameter_bytes = double(table.bytes());
        in_ = &x, out_ = &out;
        return true;
    }

    void run() override {
        with_codes(*in_, [this](auto* x) { with_codes(*out_, [this, x](auto* out) { this->look_up(x, out); }); });
    }

  private:
    template <class X, class T>
    void look_up(const X* x, T* out) {
        size_t outer = in_->elements / (channels_ * inner_);
        const X* end = x + in_->elements;
        if (channels_ == 1) {
            for (; x < end; x++) *out++ = T(table_[index(*x)]);
            return;
        }
        for (size_t o = 0; o < outer; o++)
            for (size_t c = 0; c < channels_; c++)
                for (size_t i = 0; i < inner_; i++) *out++ = T(table_[c * width_ + index(*x++)]);
    }
    template <class X>
    size_t index(X code) const {
        return sizeof(X) == 1 || code < width_ ? code : width_ - 1;
    }

    const Tensor *in_ = nullptr, *out_ = nullptr;
    size_t channels_ = 1, inner_ = 1, width_ = 1;
    Buffer<uint16_t> table_;
};

class Mean : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Pooling";
        contract::Mean attributes(call);
        multiplier_ = attributes.multiplier;
        scaled_ = call.scaled(attributes.scaled);
        Tensor& x = call.in(0);
        call.need(call.inputs() == 1 && x.codes());
        if (!reduction_.prepare(call, attributes.axes, x)) return call.finished();
        in_ = &x, out_ = &call.out();
        return call.finished() && sums_.allocate(out_->elements);
    }

    void run() override {
        memset(sums_.data(), 0, sums_.size() * sizeof(int64_t));
        int64_t zero_point = in_->zero_point;
        with_codes(*in_, [&](auto* x) {
            reduction_.each([&](size_t in, size_t out) { sums_[out] += x[in] - zero_point; });
        });
        with_codes(*out_, [&](auto* out) {
            using T = std::remove_reference_t<decltype(*out)>;
            for (size_t i = 0; i < sums_.size(); i++) out[i] = T(scaled_(multiply(sums_[i], multiplier_)));
        });
    }

  private:
    const Tensor *in_ = nullptr, *out_ = nullptr;
    Reduction reduction_;
    Scaled scaled_;
    int32_t multiplier_ = 0;
    Buffer<int64_t> sums_;
};

// Largest value of each window, of codes, floats or integers of 8 bits; the padding does not count.
class MaxPool : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Pooling";
        contract::MaxPool attributes(call);
        window_.emplace(call, attributes.window);
        Tensor &x = call.in(0), &out = call.out();
        call.need(call.inputs() == 1 && x.kind == out.kind && x.kind != Kind::weights && !x.integers());
        call.need(x.elements == window_->input_elements() && out.elements == window_->output_elements(uint64_t(window_->c)));
        window_->describe(work, uint32_t(window_->c), uint32_t(window_->c));
        in_ = &x, out_ = &out;
        return call.finished();
    }

    void run() override {
        if (in_->kind == Kind::f32)
            pool(in_->as<float>(), out_->as<float>(), -3.4028234663852886e38f);
        else if (in_->kind == Kind::f64)
            pool(in_->as<double>(), out_->as<double>(), -1.7976931348623157e308);
        else if (in_->kind == Kind::i8)
            pool(in_->as<int8_t>(), out_->as<int8_t>(), int8_t(-128));
        else if (in_->kind == Kind::u16)
            pool(in_->as<uint16_t>(), out_->as<uint16_t>(), uint16_t(0));
        else
            pool(in_->as<uint8_t>(), out_->as<uint8_t>(), uint8_t(0));
    }

  private:
    template <class T>
    void pool(const T* x, T* out, T least) {
        size_t channels = size_t(window_->c);
        for (int32_t n = 0; n < window_->n; n++, x += size_t(window_->h) * window_->w * channels)
            for (int32_t row = 0; row < window_->ho; row++)
                for (int32_t column = 0; column < window_->wo; column++, out += channels) {
                    for (size_t c = 0; c < channels; c++) out[c] = least;
                    window_->each_tap(row, column, [&](size_t pixel, uint32_t) {
                        const T* from = x + pixel * channels;
                        for (size_t c = 0; c < channels; c++) out[c] = from[c] > out[c] ? from[c] : out[c];
                    });
                }
    }

    std::optional<Window> window_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
};

class AveragePool : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Pooling";
        contract::AveragePool attributes(call);
        window_.emplace(call, attributes.window);
        scaled_ = call.scaled(attributes.scaled);
        Tensor &x = call.in(0), &multipliers = call.in(1);
        call.need(call.inputs() == 2 && x.codes() && x.elements == window_->input_elements());
        call.need(call.out().elements == window_->output_elements(uint64_t(window_->c)));
        places_ = multipliers.elements;
        call.need(places_ == 1 || places_ == product(window_->ho, window_->wo));
        call.need_constant(multipliers, Kind::i32, places_);
        window_->describe(work, uint32_t(window_->c), uint32_t(window_->c));
        in_ = &x, out_ = &call.out(), multipliers_ = multipliers.as<int32_t>();
        return call.finished() && sums_.allocate(uint64_t(window_->c));
    }

    void run() override {
        with_codes(*in_, [this](auto* x) { with_codes(*out_, [this, x](auto* out) { this->pool(x, out); }); });
    }

  private:
    template <class X, class T>
    void pool(const X* x, T* out) {
        size_t channels = size_t(window_->c);
        int64_t zero_point = in_->zero_point;
        for (int32_t n = 0; n < window_->n; n++, x += size_t(window_->h) * window_->w * channels)
            for (int32_t row = 0; row < window_->ho; row++)
                for (int32_t column = 0; column < window_->wo; column++, out += channels) {
                    memset(sums_.data(), 0, channels * sizeof(int64_t));
                    window_->each_tap(row, column, [&](size_t pixel, uint32_t) {
                        const X* from = x + pixel * channels;
                        for (size_t c = 0; c < channels; c++) sums_[c] += from[c] - zero_point;
                    });
                    int32_t multiplier = multipliers_[places_ == 1 ? 0 : size_t(row) * window_->wo + column];
                    for (size_t c = 0; c < channels; c++) out[c] = T(scaled_(multiply(sums_[c], multiplier)));
                }
    }

    std::optional<Window> window_;
    Scaled scaled_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
    const int32_t* multipliers_ = nullptr;
    uint64_t places_ = 1;
    Buffer<int64_t> sums_;
};

// Linear interpolation: rows and columns of the output are sums of a few of the input's, with whole weights.
class Resize : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Upsample";
        contract::Resize attributes(call);
        n_ = size_t(attributes.n), h_ = attributes.h, w_ = attributes.w, c_ = size_t(attributes.c);
        ho_ = attributes.ho, wo_ = attributes.wo;
        scaled_ = call.scaled(attributes.scaled);
        Tensor &x = call.in(0), &out = call.out();
        call.need(call.inputs() == 7 && x.codes() && x.elements == product(n_, h_, w_, c_));
        call.need(out.elements == product(n_, ho_, wo_, c_));
        rows_.read(call, 1, ho_, h_);
        columns_.read(call, 4, wo_, w_);
        in_ = &x, out_ = &out;
        return call.finished() && sums_.allocate(c_);
    }

    void run() override {
        with_codes(*in_, [this](auto* x) { with_codes(*out_, [this, x](auto* out) { this->interpolate(x, out); }); });
    }

  private:
    // Of each output place: where its parts begin in `index` and `weight`.
    struct Sparse {
        const int32_t *starts = nullptr, *index = nullptr, *weight = nullptr;

        void read(Call& call, size_t first, int32_t places, int32_t size) {
            call.need_constant(call.in(first), Kind::i32, uint64_t(places) + 1);
            uint64_t parts = call.in(first + 1).elements;
            call.need_constant(call.in(first + 1), Kind::i32, parts);
            call.need_constant(call.in(first + 2), Kind::i32, parts);
            if (call.bad()) return;
            starts = call.in(first).as<int32_t>(), index = call.in(first + 1).as<int32_t>();
            weight = call.in(first + 2).as<int32_t>();
            call.need(starts[0] >= 0 && uint64_t(starts[places]) <= parts);
            for (int32_t i = 0; i < places; i++) call.need(starts[i] <= starts[i + 1]);
            for (uint64_t i = 0; i < parts; i++) call.need(index[i] >= 0 && index[i] < size);
        }
    };

    template <class X, class T>
    void interpolate(const X* x, T* out) {
        int64_t zero_point = in_->zero_point;
        for (size_t n = 0; n < n_; n++, x += size_t(h_) * w_ * c_)
            for (int32_t row = 0; row < ho_; row++)
                for (int32_t column = 0; column < wo_; column++, out += c_) {
                    memset(sums_.data(), 0, c_ * sizeof(int64_t));
                    for (int32_t i = rows_.starts[row]; i < rows_.starts[row + 1]; i++)
                        for (int32_t j = columns_.starts[column]; j < columns_.starts[column + 1]; j++) {
                            int64_t weight = int64_t(rows_.weight[i]) * columns_.weight[j];
                            const X* pixel = x + (size_t(rows_.index[i]) * w_ + columns_.index[j]) * c_;
                            for (size_t c = 0; c < c_; c++)
                                sums_[c] = add(sums_[c], multiply(weight, pixel[c] - zero_point));
                        }
                    for (size_t c = 0; c < c_; c++) out[c] = T(scaled_(sums_[c]));
                }
    }

    size_t n_ = 1, c_ = 1;
    int32_t h_ = 1, w_ = 1, ho_ = 1, wo_ = 1;
    Scaled scaled_;
    Sparse rows_, columns_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
    Buffer<int64_t> sums_;
};

// The shapes of a product of matrices that are both computed: [batch, rows, inner] x [batch, inner, columns].
struct Product {
    size_t batch = 1, rows = 1, inner = 1, columns = 1;
    const int32_t *left = nullptr, *right = nullptr;  // where each matrix begins

    void prepare(Call& call, const contract::Product& shapes) {
        batch = size_t(shapes.batch), rows = size_t(shapes.rows), inner = size_t(shapes.inner);
        columns = size_t(shapes.columns);
        call.need(call.inputs() == 4 && call.out().elements == product(batch, rows, columns));
        left = starts(call, 0, product(rows, inner));
        right = starts(call, 1, product(inner, columns));
    }

  private:
    const int32_t* starts(Call& call, size_t operand, uint64_t size) {
        Tensor& found = call.in(operand + 2);
        call.need_constant(found, Kind::i32, batch);
        if (call.bad()) return nullptr;
        const int32_t* first = found.as<int32_t>();
        for (size_t i = 0; i < batch; i++)
            call.need(first[i] >= 0 && uint64_t(first[i]) + size <= call.in(operand).elements);
        return first;
    }
};

class MatMulFeatures : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "MatMul";
        contract::MatMulFeatures attributes(call);
        multiplier_ = attributes.multiplier;
        scaled_ = call.scaled(attributes.scaled);
        product_.prepare(call, attributes.product);
        call.need(call.in(0).codes() && call.in(1).codes());
        work.operations = 2.0 * double(product_.batch) * double(product_.rows) * double(product_.inner) *
                          double(product_.columns);
        if (!call.finished()) return false;
        a_ = Reader(call.in(0)), b_ = Reader(call.in(1)), out_ = &call.out();
        return sums_.allocate(product_.columns);
    }

    void run() override {
        with_codes(*out_, [this](auto* out) {
            using T = std::remove_reference_t<decltype(*out)>;
            for (size_t n = 0; n < product_.batch; n++)
                for (size_t row = 0; row < product_.rows; row++, out += product_.columns) {
                    sum(size_t(product_.left[n]) + row * product_.inner, size_t(product_.right[n]));
                    for (size_t j = 0; j < product_.columns; j++) out[j] = T(scaled_(multiply(sums_[j], multiplier_)));
                }
        });
    }

  private:
    void sum(size_t left, size_t right) {
        memset(sums_.data(), 0, sums_.size() * sizeof(int64_t));
        for (size_t k = 0; k < product_.inner; k++, right += product_.columns) {
            int64_t value = a_.minus_zp(left + k);
            for (size_t j = 0; j < product_.columns; j++) sums_[j] += value * b_.minus_zp(right + j);
        }
    }

    Product product_;
    int32_t multiplier_ = 0;
    Scaled scaled_;
    Reader a_, b_;
    const Tensor* out_ = nullptr;
    Buffer<int64_t> sums_;
};

}  // namespace socquant
