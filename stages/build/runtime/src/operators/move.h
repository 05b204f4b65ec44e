// Everything that only moves elements: reshape, transpose, slice, split, pad, nearest resize, depth to space, ...
#pragma once

#include "operator.h"

namespace socquant {

// out[i, j, ...] = x[base + offset_0(i) + offset_1(j) + ...]; where an offset is -1 in a table, the padded value.
class Move : public Operator {
  public:
    bool prepare(Call& call) override {
        work.type = "Permute";
        Tensor &x = call.in(0), &out = call.out();
        call.need(x.kind == out.kind && x.kind != Kind::weights);
        bytes_ = x.element_bytes();
        contract::Move attributes(call);
        pad_ = attributes.padded;
        int64_t least = attributes.base, most = attributes.base;
        base_ = size_t(attributes.base);
        uint64_t elements = 1;
        size_t table = 1;
        for (const contract::MoveAxis& given : attributes.axes) {
            Axis axis;
            axis.length = size_t(given.length);
            elements = product(elements, axis.length);
            if (given.tabled) {
                Tensor& offsets = call.in(table++);
                call.need_constant(offsets, Kind::i32, axis.length);
                if (call.bad()) break;
                axis.table = offsets.as<int32_t>();
                int64_t largest = 0;
                for (size_t k = 0; k < axis.length; k++) {
                    call.need(axis.table[k] >= -1);
                    if (axis.table[k] > largest) largest = axis.table[k];
                }
                most += largest;
            } else {
                axis.step = given.step;
                int64_t end = int64_t(axis.step) * int64_t(axis.length - 1);
                (end < 0 ? least : most) += end;
            }
            axes_.push_back(axis);
        }
        call.need(elements == out.elements && least >= 0 && most < int64_t(x.elements));
        in_ = &x, out_ = &out;
        return call.finished();
    }

    void run() override {
        if (bytes_ == 1)
            move(in_->as<uint8_t>(), out_->as<uint8_t>(), 0, int64_t(base_));
        else if (bytes_ == 2)
            move(in_->as<uint16_t>(), out_->as<uint16_t>(), 0, int64_t(base_));
        else if (bytes_ == 4)
            move(in_->as<uint32_t>(), out_->as<uint32_t>(), 0, int64_t(base_));
        else
            move(in_->as<uint64_t>(), out_->as<uint64_t>(), 0, int64_t(base_));
    }

  private:
    struct Axis {
        size_t length = 1;
        int32_t step = 0;
        const int32_t* table = nullptr;
    };

    // Fills one axis; gives where the next element goes. An offset below 0 stands for padding.
    template <class T>
    T* move(const T* x, T* out, size_t depth, int64_t offset) {
        const Axis& axis = axes_[depth];
        if (depth + 1 == axes_.size() && offset >= 0 && !axis.table) {
            const T* from = x + offset;
            if (axis.step == 1)
                memcpy(out, from, axis.length * sizeof(T));
            else
                for (size_t i = 0; i < axis.length; i++) out[i] = from[int64_t(i) * axis.step];
            return out + axis.length;
        }
        for (size_t i = 0; i < axis.length; i++) {
            int64_t along = axis.table ? axis.table[i] : int64_t(i) * axis.step;
            int64_t at = offset < 0 || (axis.table && along < 0) ? -1 : offset + along;
            if (depth + 1 < axes_.size())
                out = move(x, out, depth + 1, at);
            else
                *out++ = at < 0 ? T(pad_) : x[at];
        }
        return out;
    }

    const Tensor *in_ = nullptr, *out_ = nullptr;
    std::vector<Axis> axes_;
    size_t bytes_ = 1, base_ = 0;
    int32_t pad_ = 0;
};

}  // namespace socquant
