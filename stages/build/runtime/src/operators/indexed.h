// Elements at computed indices: picked, placed, and the indices of the largest.
#pragma once

#include <type_traits>

#include "operators/broadcast.h"

namespace socquant {

// Where computed indices point to, along one axis or several. An index below 0 counts from the end; one that is out of
// bounds is the first or the last: no network has one, and nothing is read elsewhere.
class Indices {
  public:
    void prepare(Call& call, const std::vector<contract::PickedAxis>& axes, const Tensor& indices, const Tensor& x) {
        for (const contract::PickedAxis& axis : axes) {
            axes_.push_back({int64_t(axis.length), size_t(axis.stride), size_t(axis.offset)});
            reach += uint64_t(axis.length - 1) * uint64_t(axis.stride);
            if (uint64_t(axis.offset) > last_offset) last_offset = uint64_t(axis.offset);
        }
        call.need(indices.integers() && reach < x.elements);
        long_ = indices.kind == Kind::i64, data_ = indices.data;
    }
    size_t operator[](size_t first) const {
        size_t at = 0;
        for (const Axis& axis : axes_) {
            int64_t index = long_ ? reinterpret_cast<const int64_t*>(data_)[first + axis.offset]
                                  : reinterpret_cast<const int32_t*>(data_)[first + axis.offset];
            if (index < 0) index = index < -axis.length ? 0 : index + axis.length;
            at += size_t(index < axis.length ? index : axis.length - 1) * axis.stride;
        }
        return at;
    }

    uint64_t reach = 0, last_offset = 0;  // the furthest that indices point, and that one lies behind the first

  private:
    struct Axis {
        int64_t length = 1;
        size_t stride = 0, offset = 0;
    };

    std::vector<Axis> axes_;
    bool long_ = false;
    const uint8_t* data_ = nullptr;
};

class Pick : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Gather";
        contract::Pick attributes(call);
        in_ = &call.in(0), out_ = &call.out();
        Tensor& indices = call.in(1);
        call.need(call.inputs() == 2 && in_->numbers() && in_->kind == out_->kind);
        indices_.prepare(call, attributes.picked, indices, *in_);
        broadcast_.prepare(call, attributes.axes, *in_, indices, indices_.reach, indices_.last_offset);
        return call.finished();
    }
    void run() override {
        with_elements(*out_, [this](auto* out) {
            using T = std::remove_reference_t<decltype(*out)>;
            const T* x = in_->as<T>();
            broadcast_.each([&](size_t to, size_t a, size_t b, size_t length, size_t step_a, size_t step_b) {
                for (size_t i = 0; i < length; i++) out[to + i] = x[a + i * step_a + indices_[b + i * step_b]];
            });
        });
    }

  private:
    Indices indices_;
    Broadcast broadcast_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
};

class Place : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Scatter";
        contract::Place attributes(call);
        function_ = attributes.function;
        in_ = &call.in(0), updates_ = &call.in(2), out_ = &call.out();
        Tensor& indices = call.in(1);
        call.need(call.inputs() == 3 && in_->numbers() && in_->kind == out_->kind && updates_->kind == out_->kind);
        call.need(in_->elements == out_->elements);
        indices_.prepare(call, attributes.picked, indices, *out_);
        broadcast_.prepare(call, attributes.axes, *out_, indices, indices_.reach, indices_.last_offset, updates_);
        return call.finished();
    }
    void run() override {
        memmove(out_->data, in_->data, size_t(out_->bytes()));
        with_numbers(*out_, [this](auto* out) {
            using T = std::remove_reference_t<decltype(*out)>;
            const T* updates = updates_->as<T>();
            broadcast_.each([&](size_t from, size_t a, size_t b, size_t length, size_t step_a, size_t step_b) {
                for (size_t i = 0; i < length; i++) {
                    T& element = out[a + i * step_a + indices_[b + i * step_b]];
                    element = joined(element, updates[from + i]);
                }
            });
        });
    }

  private:
    using Function = contract::PlaceFunction;

    template <class T>
    T joined(T before, T update) const {
        switch (function_) {
            case Function::assign: return update;
            case Function::add: return sum(before, update);
            case Function::mul: return times(before, update);
            case Function::max: return update > before ? update : before;
            case Function::min: return update < before ? update : before;
        }
        return update;
    }
    template <class T>
    static T sum(T a, T b) {
        if constexpr (std::is_floating_point_v<T>) return a + b;
        else return T(add(int64_t(a), int64_t(b)));
    }
    template <class T>
    static T times(T a, T b) {
        if constexpr (std::is_floating_point_v<T>) return a * b;
        else return T(multiply(int64_t(a), int64_t(b)));
    }

    Function function_ = Function::assign;
    Indices indices_;
    Broadcast broadcast_;
    const Tensor *in_ = nullptr, *updates_ = nullptr, *out_ = nullptr;
};

class Extreme : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "ArgMax";
        contract::Extreme attributes(call);
        largest_ = attributes.largest, last_ = attributes.last;
        in_ = &call.in(0), out_ = &call.out();
        lines_ = Lines(call, attributes.lines, *in_);
        call.need(call.inputs() == 1 && in_->numbers() && out_->kind == Kind::i64);
        call.need(out_->elements == product(lines_.outer, lines_.inner));
        return call.finished();
    }
    void run() override {
        with_numbers(*in_, [this](auto* x) {
            lines_.each([&](size_t line, size_t first) {
                size_t best = 0;
                for (size_t k = 1; k < lines_.length; k++) {
                    auto value = x[first + k * lines_.inner], least = x[first + best * lines_.inner];
                    if ((largest_ ? value > least : value < least) || (last_ && value == least)) best = k;
                }
                out_->as<int64_t>()[line] = int64_t(best);
            });
        });
    }

  private:
    bool largest_ = true, last_ = false;
    Lines lines_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
};

// Equal elements stand in the order of their indices.
class TopK : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "TopK";
        contract::TopK attributes(call);
        largest_ = attributes.largest, indices_ = attributes.indices, count_ = size_t(attributes.count);
        in_ = &call.in(0), out_ = &call.out();
        lines_ = Lines(call, attributes.lines, *in_);
        call.need(call.inputs() == 1 && (in_->reals() || in_->integers()));
        call.need(out_->kind == (indices_ ? Kind::i64 : in_->kind) && count_ <= lines_.length);
        call.need(out_->elements == product(lines_.outer, count_, lines_.inner));
        return call.finished() && order_.allocate(lines_.length);
    }
    void run() override {
        with_numbers(*in_, [this](auto* x) {
            using T = std::remove_reference_t<decltype(*x)>;
            lines_.each([&](size_t line, size_t first) {
                sort(x + first);
                size_t to = line / lines_.inner * count_ * lines_.inner + line % lines_.inner;
                for (size_t k = 0; k < count_; k++, to += lines_.inner) {
                    if (indices_)
                        out_->as<int64_t>()[to] = order_[k];
                    else
                        out_->as<T>()[to] = x[first + size_t(order_[k]) * lines_.inner];
                }
            });
        });
    }

  private:
    template <class T>
    void sort(const T* x) {
        for (size_t k = 0; k < lines_.length; k++) order_[k] = int32_t(k);
        // a heap whose top is the last one: it falls out of the part that is not yet sorted, from the back
        for (size_t k = lines_.length / 2; k-- > 0;) sink(x, k, lines_.length);
        for (size_t left = lines_.length; left-- > 1;) {
            std::swap(order_[0], order_[left]);
            sink(x, 0, left);
        }
    }

    template <class T>
    void sink(const T* x, size_t at, size_t count) {
        for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
            if (child + 1 < count && before(x, order_[child], order_[child + 1])) child++;
            if (!before(x, order_[at], order_[child])) return;
            std::swap(order_[at], order_[child]);
            at = child;
        }
    }

    template <class T>
    bool before(const T* x, int32_t a, int32_t b) const {
        T left = x[size_t(a) * lines_.inner], right = x[size_t(b) * lines_.inner];
        bool left_number = left == left, right_number = right == right;
        if (left_number != right_number) return left_number;  // what is no number stands at the end
        if (left_number && left != right) return largest_ ? left > right : left < right;
        return a < b;
    }

    bool largest_ = true, indices_ = false;
    size_t count_ = 1;
    Lines lines_;
    Buffer<int32_t> order_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
};

}  // namespace socquant
