// Accumulators of a weighted layer -> its output, by the SOC's rule.
#pragma once

#include "operators/lanes.h"
#include "operator.h"

namespace socquant {

using contract::Rule;

class Requantizer {
  public:
    // Reads the layer's parameters: bias, then mult | multiplier, shift | scale; one a channel.
    bool prepare(Call& call, const contract::Conv& attributes, size_t first) {
        uint32_t channels = uint32_t(attributes.channels);
        rule_ = attributes.rule;
        Tensor& out = call.out();
        if (rule_ != Rule::real) {
            call.need_clamp(attributes.clamp);
            low_ = attributes.clamp.low, high_ = attributes.clamp.high;
        }
        call.need(rule_ == Rule::real ? out.kind == Kind::f32 : out.codes());
        shifts_ = rule_ != Rule::nna && rule_ != Rule::real;
        call.need(call.inputs() == first + (shifts_ ? 3 : 2));
        Tensor &bias = call.in(first), &factor = call.in(first + 1);
        call.need_constant(bias, Kind::i32, channels);
        call.need_constant(factor, rule_ == Rule::real ? Kind::f32 : Kind::i32, channels);
        if (shifts_) call.need_constant(call.in(first + 2), Kind::i32, channels);
        if (call.bad()) return true;
        zero_point_ = out.zero_point;
        half_ = rule_ == Rule::nna ? 1 << (out.bits - 1) : 0;
        small_ = out.bits <= 12;
        uint64_t room = uint64_t(channels) + PANEL;
        if (!bias_.allocate(room) || !folded_.allocate(room) || !factor_.allocate(room)) return false;
        memcpy(bias_.data(), bias.data, channels * 4);
        memcpy(factor_.data(), factor.data, channels * 4);
        if (shifts_) {
            if (!shift_.allocate(room)) return false;
            memcpy(shift_.data(), call.in(first + 2).data, channels * 4);
            int32_t least = rule_ == Rule::doubling ? 0 : 1;
            for (uint32_t c = 0; c < channels; c++) call.need(shift_[c] >= least && shift_[c] <= 62);
        }
        if (rule_ == Rule::nna) {
            if (!least_.allocate(room) || !most_.allocate(room) || !magic_.allocate(room) || !shift_.allocate(room))
                return false;
            for (uint32_t c = 0; c < room; c++) {
                if (c >= channels) factor_[c] = 1;
                call.need(factor_[c] >= 1 && factor_[c] <= 65535);
                int64_t mult = clamp(factor_[c], 1, 65535);
                least_[c] = int32_t((low_ - half_) * mult);
                most_[c] = int32_t((high_ - half_) * mult + mult - 1);
                // u / mult = u * magic >> shift for u < mult << bits: the excess of magic stays below 1 / mult
                int log = 0;
                while ((1 << log) < mult) log++;
                shift_[c] = out.bits + 2 * log;
                magic_[c] = small_ ? uint32_t(((uint64_t(1) << shift_[c]) + mult - 1) / mult) : 0;
            }
        }
        memcpy(folded_.data(), bias_.data(), room * 4);
        return true;
    }

    // Whether sums of least..most of a channel can be handled in 32 bits.
    bool fits(uint32_t channel, int64_t least, int64_t most) const {
        int64_t factor = rule_ == Rule::nna ? 4 : 1, bias = bias_[channel];
        return factor * least + bias >= INT32_MIN && factor * most + bias <= INT32_MAX;
    }
    // Lets `narrow` take sums of codes instead of codes minus their zero point: `amount` is what those sums are larger by.
    void fold(uint32_t channel, int64_t amount) {
        folded_[channel] = int32_t(uint32_t(bias_[channel]) - uint32_t(amount) * (rule_ == Rule::nna ? 4u : 1u));
    }

    // Outputs of `count` neighbouring channels from 32-bit sums; all arrays may be read up to a whole panel.
    void narrow(const uint32_t* acc, uint32_t channel, int count, const Tensor& out, size_t index) const {
        if (out.kind == Kind::f32)
            return reals(acc, channel, count, out.as<float>() + index);
        if (out.kind == Kind::u8)
            codes(acc, channel, count, out.as<uint8_t>() + index);
        else
            codes(acc, channel, count, out.as<uint16_t>() + index);
    }

    // The same from 64-bit sums of codes minus their zero point, a channel at a time.
    void wide(int64_t acc, uint32_t channel, const Tensor& out, size_t index) const {
        if (rule_ == Rule::real) {
            float scale;
            memcpy(&scale, &factor_[channel], 4);
            out.as<float>()[index] = float(add(acc, bias_[channel])) * scale;
            return;
        }
        int64_t value;
        if (rule_ == Rule::nna)
            value = floor_divide(add(multiply(acc, 4), bias_[channel]), factor_[channel]) + half_;
        else
            value = shifted(add(acc, bias_[channel]), channel);
        value = clamp<int64_t>(value, low_, high_);
        if (out.kind == Kind::u8)
            out.as<uint8_t>()[index] = uint8_t(value);
        else
            out.as<uint16_t>()[index] = uint16_t(value);
    }

  private:
    int64_t shifted(int64_t sum, uint32_t channel) const {
        int64_t product = multiply(sum, factor_[channel]);
        int32_t shift = shift_[channel];
        if (rule_ == Rule::doubling) {
            product = add(product, int64_t(1) << 30) >> 31;
            if (!shift) return product + zero_point_;
        }
        if (rule_ != Rule::multiplier_shift) product -= product < 0;  // halves away from zero
        return (add(product, int64_t(1) << (shift - 1)) >> shift) + zero_point_;
    }

    void reals(const uint32_t* acc, uint32_t channel, int count, float* out) const {
        const float* scale = reinterpret_cast<const float*>(factor_.data()) + channel;
        for (int i = 0; i < count; i++) out[i] = float(int32_t(acc[i] + uint32_t(folded_[channel + i]))) * scale[i];
    }

    template <class T>
    void codes(const uint32_t* acc, uint32_t channel, int count, T* out) const {
        if (rule_ == Rule::nna && small_ && count == PANEL)
            divided<PANEL>(acc, channel, PANEL, out);
        else if (rule_ == Rule::nna && small_)
            divided<0>(acc, channel, count, out);
        else if (rule_ == Rule::nna)
            for (int i = 0; i < count; i++) {
                uint32_t c = channel + uint32_t(i);
                out[i] = T(uint32_t(low_) + above(acc[i], c) / uint32_t(factor_[c]));
            }
        else
            for (int i = 0; i < count; i++) {
                uint32_t c = channel + uint32_t(i);
                out[i] = T(clamp<int64_t>(shifted(int32_t(acc[i] + uint32_t(folded_[c])), c), low_, high_));
            }
    }

    // 4*acc + bias above the value of the smallest code, within what codes can be.
    uint32_t above(uint32_t acc, uint32_t c) const {
        int32_t value = int32_t(4 * acc + uint32_t(folded_[c]));
        return uint32_t(clamp(value, least_[c], most_[c])) - uint32_t(least_[c]);
    }

    template <int COUNT, class T>
    void divided(const uint32_t* __restrict acc, uint32_t channel, int count, T* __restrict out) const {
        const int32_t *bias = folded_.data() + channel, *shift = shift_.data() + channel;
        const int32_t *least = least_.data() + channel, *most = most_.data() + channel;
        const uint32_t* magic = magic_.data() + channel;
        for (int i = 0; i < (COUNT ? COUNT : count); i++) {
            int32_t value = int32_t(4 * acc[i] + uint32_t(bias[i]));
            value = value < least[i] ? least[i] : value;
            value = value > most[i] ? most[i] : value;
            uint32_t above = uint32_t(value) - uint32_t(least[i]);
            out[i] = T(uint32_t(low_) + uint32_t((uint64_t(above) * magic[i]) >> shift[i]));
        }
    }

    Rule rule_ = Rule::nna;
    int32_t zero_point_ = 0, low_ = 0, high_ = 0, half_ = 0;
    bool small_ = false, shifts_ = false;
    Buffer<int32_t> bias_, folded_, factor_, shift_, least_, most_;
    Buffer<uint32_t> magic_;
};

}  // namespace socquant
