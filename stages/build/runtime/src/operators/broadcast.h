// Walking over the elements of a result and what they meet in two operands that broadcast.
#pragma once

#include "operator.h"

namespace socquant {

class Broadcast {
  public:
    // Checks the axes of a result, or of `walked` instead of it, against it and its operands. Up to so many elements
    // more are used behind those that the axes lead to.
    bool prepare(Call& call, const std::vector<contract::BroadcastAxis>& axes, const Tensor& a, const Tensor& b,
                 uint64_t more_a = 0, uint64_t more_b = 0, const Tensor* walked = nullptr) {
        uint64_t elements = 1, last_a = 0, last_b = 0;
        for (const contract::BroadcastAxis& given : axes) {
            Axis axis{size_t(given.length), size_t(given.a), size_t(given.b)};
            elements = product(elements, axis.length);
            last_a += uint64_t(axis.length - 1) * axis.a;
            last_b += uint64_t(axis.length - 1) * axis.b;
            axes_.push_back(axis);
        }
        call.need(elements == (walked ? walked : &call.out())->elements);
        call.need(last_a + more_a < a.elements && last_b + more_b < b.elements);
        return !call.bad();
    }

    // Calls work(out, a, b, length, stride of a, stride of b) for each stretch of the innermost axis.
    template <class Function>
    void each(Function work) const {
        size_t out = 0;
        walk(0, 0, 0, out, work);
    }

  private:
    struct Axis {
        size_t length = 1, a = 0, b = 0;
    };

    template <class Function>
    void walk(size_t depth, size_t a, size_t b, size_t& out, Function& work) const {
        const Axis& axis = axes_[depth];
        if (depth + 1 == axes_.size()) {
            work(out, a, b, axis.length, axis.a, axis.b);
            out += axis.length;
            return;
        }
        for (size_t i = 0; i < axis.length; i++) walk(depth + 1, a + i * axis.a, b + i * axis.b, out, work);
    }

    std::vector<Axis> axes_;
};

// The same for one operand and a result that has fewer elements: sums over axes.
class Reduction {
  public:
    // Checks the axes of the operand against it and the result.
    bool prepare(Call& call, const std::vector<contract::ReductionAxis>& axes, const Tensor& x) {
        uint64_t elements = 1, last = 0;
        for (const contract::ReductionAxis& given : axes) {
            Axis axis{size_t(given.length), size_t(given.stride)};
            elements = product(elements, axis.length);
            last += uint64_t(axis.length - 1) * axis.stride;
            axes_.push_back(axis);
        }
        call.need(elements == x.elements && last < call.out().elements);
        return !call.bad();
    }

    // Calls work(in, out) in the order of the operand.
    template <class Function>
    void each(Function work) const {
        size_t in = 0;
        walk(0, 0, in, work);
    }

  private:
    struct Axis {
        size_t length = 1, stride = 0;
    };

    template <class Function>
    void walk(size_t depth, size_t out, size_t& in, Function& work) const {
        const Axis& axis = axes_[depth];
        for (size_t i = 0; i < axis.length; i++, out += axis.stride)
            if (depth + 1 == axes_.size())
                work(in++, out);
            else
                walk(depth + 1, out, in, work);
    }

    std::vector<Axis> axes_;
};

}  // namespace socquant
