// Weighted layers: convolutions (dense, grouped, depthwise, transposed) and matrix products, which are 1x1 convolutions.
//
// Weights lie in panels of PANEL output channels. ROWS output pixels are gathered into a tile of 32-bit numbers, padding
// included, and multiplied by one panel after the other; sums stay in registers. Codes enter as they are, their zero
// point goes into the bias. Layers whose sums might not fit 32 bits take 64.
#pragma once

#include <optional>

#include "operators/requantize.h"

namespace socquant {

// A window's shapes, and which input pixel an output pixel meets at a tap.
struct Window : contract::Window {
    bool transposed;

    Window(Call& call, const contract::Window& shapes, bool transposed = false)
        : contract::Window(shapes), transposed(transposed) {
        // no position overflows 32 bits
        call.need(int64_t(ho) * sh + int64_t(kh) * dh < INT32_MAX && int64_t(wo) * sw + int64_t(kw) * dw < INT32_MAX);
    }
    uint64_t input_elements() const { return product(n, h, w, c); }
    uint64_t output_elements(uint64_t channels) const { return product(n, ho, wo, channels); }

    static int32_t source(int32_t out, int32_t tap, int32_t stride, int32_t dilation, int32_t pad, int32_t size,
                          bool transposed) {
        int64_t at = transposed ? int64_t(out) + pad - int64_t(tap) * dilation
                                : int64_t(out) * stride + int64_t(tap) * dilation - pad;
        if (transposed) {
            if (at < 0 || at % stride) return -1;
            at /= stride;
        }
        return at < 0 || at >= size ? -1 : int32_t(at);
    }
    // Input row or column, -1 where it lies in the padding.
    int32_t row(int32_t out, int32_t tap) const { return source(out, tap, sh, dh, ph, h, transposed); }
    int32_t column(int32_t out, int32_t tap) const { return source(out, tap, sw, dw, pw, w, transposed); }

    // Calls work(pixel, tap) for the taps of an output pixel that lie in the picture; not for transposed windows.
    template <class Function>
    void each_tap(int32_t row, int32_t column, Function work) const {
        Span down(row * sh - ph, dh, kh, h), along(column * sw - pw, dw, kw, w);
        for (int32_t i = down.first; i < down.last; i++) {
            size_t pixel = size_t(down.start + i * dh) * size_t(w);
            for (int32_t j = along.first; j < along.last; j++)
                work(pixel + size_t(along.start + j * dw), uint32_t(i * kw + j));
        }
    }

    struct Span {
        int32_t start, first, last;
        Span(int32_t from, int32_t dilation, int32_t taps, int32_t size) : start(from) {
            first = from >= 0 ? 0 : (dilation - 1 - from) / dilation;
            last = from >= size ? 0 : (size - from + dilation - 1) / dilation;
            last = last < taps ? last : taps;
        }
    };

    void describe(Work& work, uint32_t inside, uint32_t outside) const {
        uint32_t filter[4] = {uint32_t(kh), uint32_t(kw), inside, outside};
        memcpy(work.filter, filter, sizeof filter);
        work.stride[0] = uint32_t(sh), work.stride[1] = uint32_t(sw);
        int64_t below = int64_t(ho - 1) * sh + int64_t(kh - 1) * dh + 1 - h - ph;
        int64_t right = int64_t(wo - 1) * sw + int64_t(kw - 1) * dw + 1 - w - pw;
        work.pad[0] = uint32_t(ph), work.pad[1] = below > 0 ? uint32_t(below) : 0;
        work.pad[2] = uint32_t(pw), work.pad[3] = right > 0 ? uint32_t(right) : 0;
        work.dilation[0] = uint32_t(dh), work.dilation[1] = uint32_t(dw);
    }
};

// Weights as they lie in the file, one after the other: `bits` each, two's complement, lowest bit first, no gaps.
class PackedWeights {
  public:
    explicit PackedWeights(const Tensor& tensor) : next_(tensor.data), bits_(tensor.bits) {}

    int32_t next() {
        while (held_ < bits_) {
            word_ |= uint32_t(*next_++) << held_;
            held_ += 8;
        }
        int32_t value = int32_t(word_ << (32 - bits_)) >> (32 - bits_);
        word_ >>= bits_;
        held_ -= bits_;
        return value;
    }

  private:
    const uint8_t* next_;
    int bits_, held_ = 0;
    uint32_t word_ = 0;
};

// acc[r][j] = sum over k of x[r][k] * weights[k][j] for ROWS pixels and COUNT * LANES channels of a panel.
//
// W is int8_t or int16_t. A word of a panel holds a channel's weights for 4 or 2 neighbouring k: shifts bring them to 32
// bits, which vectors do better than widening. `depth` is a multiple of that number.
template <class W, int COUNT>
inline void multiply_panel(const uint32_t* __restrict x, size_t depth, const W* __restrict weights,
                           uint32_t* __restrict out) {
    constexpr int BITS = 8 * sizeof(W), HELD = 32 / BITS;
    Lanes acc[ROWS][COUNT] = {};
    for (size_t k = 0; k < depth; k += HELD, weights += PANEL * HELD) {
        Lanes words[COUNT];
        for (int c = 0; c < COUNT; c++) memcpy(&words[c], weights + c * LANES * HELD, sizeof words[c]);
#pragma GCC unroll 4
        for (int t = 0; t < HELD; t++) {
            Lanes column[COUNT];
#pragma GCC unroll 8
            for (int c = 0; c < COUNT; c++)
                column[c] = Lanes(SignedLanes(words[c] << (32 - BITS * (t + 1))) >> (32 - BITS));
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++) {
                Lanes value = Lanes{} + x[size_t(r) * depth + k + t];
#pragma GCC unroll 8
                for (int c = 0; c < COUNT; c++) acc[r][c] += value * column[c];
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COUNT; c++) store_lanes(out + r * PANEL + c * LANES, acc[r][c]);
}

class Conv : public Operator {
  public:
    bool prepare(Call& call) override {
        contract::Conv attributes(call);
        window_.emplace(call, attributes.window, attributes.transposed);
        groups_ = uint32_t(attributes.groups), channels_ = uint32_t(attributes.channels);
        Tensor &x = call.in(0), &weights = call.in(1);
        call.need(x.codes() && x.elements == window_->input_elements() && call.out().elements == window_->output_elements(channels_));
        call.need(window_->c % int32_t(groups_) == 0 && channels_ % groups_ == 0);
        if (call.bad()) return call.finished();
        inside_ = uint32_t(window_->c) / groups_, outside_ = channels_ / groups_;
        depth_ = size_t(product(window_->kh, window_->kw, inside_));
        call.need_constant(weights, Kind::weights, product(channels_, depth_));
        if (call.bad()) return call.finished();
        if (!requantizer_.prepare(call, attributes, 2)) return false;
        if (!call.finished()) return false;
        in_ = &x, out_ = &call.out();
        describe(weights);
        if (inside_ == 1 && outside_ == 1 && groups_ > 1 && !window_->transposed) {
            if (!pack_by_tap(weights)) return false;
            if (narrow_) return prepare_rows();
        }
        return pack(weights) && tile_.allocate(padded_ * ROWS) && sources_.allocate(uint64_t(taps()) * ROWS);
    }

    void run() override {
        with_codes(*in_, [this](auto* x) { rows_.size() ? depthwise(x) : dense(x); });
    }

  private:
    uint32_t taps() const { return uint32_t(window_->kh) * uint32_t(window_->kw); }

    // Takes note of a channel's weights: whether 32 bits do for its sums.
    void note(uint32_t channel, int64_t positive, int64_t negative) {
        int64_t lowest = -in_->zero_point, highest = in_->qmax() - in_->zero_point;
        narrow_ &= requantizer_.fits(channel, positive * lowest - negative * highest,
                                     positive * highest - negative * lowest);
    }

    // Sorts the weights into panels.
    bool pack(const Tensor& weights) {
        short_ = weights.bits <= 8;
        held_ = short_ ? 4 : 2;
        padded_ = (depth_ + held_ - 1) / held_ * held_;
        panels_ = (outside_ + PANEL - 1) / PANEL;
        uint64_t room = product(groups_, panels_, PANEL, padded_);
        if (!(short_ ? narrow_weights_.allocate(room) : wide_weights_.allocate(room))) return false;
        PackedWeights packed(weights);
        narrow_ = true;
        for (uint32_t m = 0; m < channels_; m++) {
            int64_t positive = 0, negative = 0;
            size_t to = begin(m);
            for (uint32_t k = 0; k < depth_; k++) {
                int32_t value = packed.next();
                (value > 0 ? positive : negative) += value > 0 ? value : -value;
                if (short_)
                    narrow_weights_[to + at(k)] = int8_t(value);
                else
                    wide_weights_[to + at(k)] = int16_t(value);
            }
            note(m, positive, negative);
            requantizer_.fold(m, (positive - negative) * in_->zero_point);
        }
        return true;
    }
    // Where a channel's weights begin in the panels, and where the k-th is from there.
    size_t begin(uint32_t m) const {
        uint32_t group = m / outside_, j = m % outside_;
        return (size_t(group * panels_ + j / PANEL) * padded_ * PANEL) + j % PANEL * held_;
    }
    size_t at(uint32_t k) const { return size_t(k / held_) * held_ * PANEL + k % held_; }

    bool pack_by_tap(const Tensor& weights) {
        if (!tap_weights_.allocate(uint64_t(taps()) * channels_ + PANEL)) return false;
        PackedWeights packed(weights);
        for (uint32_t m = 0; m < channels_; m++) {
            int64_t positive = 0, negative = 0;
            for (uint32_t tap = 0; tap < taps(); tap++) {
                int32_t value = packed.next();
                (value > 0 ? positive : negative) += value > 0 ? value : -value;
                tap_weights_[size_t(tap) * channels_ + m] = uint32_t(value);
            }
            note(m, positive, negative);
        }
        return true;
    }

    // Rows of the picture as 32-bit codes minus their zero point, zeros at both ends: as many as a window spans.
    bool prepare_rows() {
        int64_t right = int64_t(window_->wo - 1) * window_->sw + int64_t(window_->kw - 1) * window_->dw - window_->pw + 1;
        int64_t beyond = right > window_->w ? right - window_->w : 0;
        span_ = uint32_t((window_->kh - 1) * window_->dh + 1);
        if (span_ > uint32_t(window_->h)) span_ = uint32_t(window_->h);
        row_ = size_t(product(window_->w + window_->pw + beyond, channels_));
        return rows_.allocate(product(span_, row_) + PANEL);
    }

    void describe(const Tensor& weights) {
        bool product = taps() == 1 && window_->h == 1 && window_->w == 1;
        work.type = product ? "FullConnected" : inside_ == 1 && groups_ > 1 ? "DepthwiseConvolution" : "Convolution";
        if (window_->transposed) work.type = "Deconvolution";
        window_->describe(work, inside_, channels_);
        double places = double(window_->n) * (window_->transposed ? double(window_->h) * window_->w
                                                                : double(window_->ho) * window_->wo);
        work.operations = 2.0 * places * double(channels_) * double(depth_);
        work.parameter_bytes = double(weights.bytes()) + 8.0 * channels_;
    }

    template <class X>
    void dense(const X* x) {
        size_t pixels = size_t(window_->n) * window_->ho * window_->wo;
        for (size_t first = 0; first < pixels; first += ROWS) {
            int rows = int(pixels - first < ROWS ? pixels - first : ROWS);
            for (int r = 0; r < rows; r++) find(first + size_t(r), sources_.data() + size_t(r) * taps());
            for (uint32_t group = 0; group < groups_; group++) {
                for (int r = 0; r < rows; r++) gather(x, r, group);
                if (!narrow_)
                    wide(first, rows, group);
                else if (short_)
                    narrow(first, rows, group, narrow_weights_.data());
                else
                    narrow(first, rows, group, wide_weights_.data());
            }
        }
    }

    // Where each tap of an output pixel begins in the input; -1: padding.
    void find(size_t pixel, int32_t* sources) const {
        int32_t column = int32_t(pixel % window_->wo), row = int32_t(pixel / window_->wo % window_->ho);
        int64_t picture = int64_t(pixel / window_->wo / window_->ho);
        for (int32_t i = 0; i < window_->kh; i++) {
            int32_t from = window_->row(row, i);
            for (int32_t j = 0; j < window_->kw; j++) {
                int32_t along = from < 0 ? -1 : window_->column(column, j);
                *sources++ = along < 0 ? -1 : int32_t(((picture * window_->h + from) * window_->w + along) * window_->c);
            }
        }
    }

    template <class X>
    void gather(const X* x, int row, uint32_t group) {
        const int32_t* sources = sources_.data() + size_t(row) * taps();
        uint32_t* to = tile_.data() + size_t(row) * padded_;
        for (uint32_t tap = 0; tap < taps(); tap++, to += inside_) {
            if (sources[tap] < 0) {
                for (uint32_t i = 0; i < inside_; i++) to[i] = uint32_t(in_->zero_point);
            } else {
                const X* from = x + sources[tap] + size_t(group) * inside_;
                for (uint32_t i = 0; i < inside_; i++) to[i] = from[i];
            }
        }
    }

    template <class W>
    void narrow(size_t first, int rows, uint32_t group, const W* weights) {
        alignas(ALIGNMENT) uint32_t acc[ROWS * PANEL];
        size_t panel_size = padded_ * PANEL;
        weights += size_t(group) * panels_ * panel_size;
        for (uint32_t panel = 0; panel < panels_; panel++, weights += panel_size) {
            uint32_t begin = panel * PANEL, channel = group * outside_ + begin;
            int count = int(outside_ - begin < PANEL ? outside_ - begin : PANEL);
            if (count > PANEL / 2)
                multiply_panel<W, COLUMNS>(tile_.data(), padded_, weights, acc);
            else
                multiply_panel<W, COLUMNS / 2>(tile_.data(), padded_, weights, acc);
            for (int r = 0; r < rows; r++)
                requantizer_.narrow(acc + r * PANEL, channel, count, *out_, (first + size_t(r)) * channels_ + channel);
        }
    }

    void wide(size_t first, int rows, uint32_t group) {
        for (int r = 0; r < rows; r++)
            for (uint32_t j = 0; j < outside_; j++) {
                uint32_t channel = group * outside_ + j;
                const uint32_t* x = tile_.data() + size_t(r) * padded_;
                size_t from = begin(channel);
                int64_t acc = 0;
                for (uint32_t k = 0; k < depth_; k++) {
                    int64_t weight = short_ ? narrow_weights_[from + at(k)] : wide_weights_[from + at(k)];
                    acc += weight * (int64_t(x[k]) - in_->zero_point);
                }
                requantizer_.wide(acc, channel, *out_, (first + size_t(r)) * channels_ + channel);
            }
    }

    template <class X>
    void depthwise(const X* x) {
        for (int32_t picture = 0; picture < window_->n; picture++, x += size_t(window_->h) * window_->w * channels_) {
            int32_t next = 0;
            for (int32_t row = 0; row < window_->ho; row++) {
                Window::Span down(row * window_->sh - window_->ph, window_->dh, window_->kh, window_->h);
                int32_t last = down.first < down.last ? down.start + (down.last - 1) * window_->dh : -1;
                if (next < down.start) next = down.start;
                for (; next <= last; next++) widen(x + size_t(next) * window_->w * channels_, row_at(next));
                size_t index = (size_t(picture) * window_->ho + row) * window_->wo * channels_;
                for (int32_t column = 0; column < window_->wo; column++, index += channels_)
                    depthwise_pixel(down, size_t(column) * window_->sw * channels_, index);
            }
        }
    }
    uint32_t* row_at(int32_t row) { return rows_.data() + size_t(uint32_t(row) % span_) * row_; }

    template <class X>
    void widen(const X* __restrict x, uint32_t* __restrict to) {
        uint32_t zero_point = uint32_t(in_->zero_point);
        size_t count = size_t(window_->w) * channels_;
        to += size_t(window_->pw) * channels_;
        for (size_t i = 0; i < count; i++) to[i] = x[i] - zero_point;
    }

    void depthwise_pixel(const Window::Span& down, size_t offset, size_t index) {
        uint32_t channel = 0;
        for (; channel + PANEL / 2 < channels_; channel += PANEL) {
            int count = int(channels_ - channel < PANEL ? channels_ - channel : PANEL);
            depthwise_channels<COLUMNS>(down, offset, index, channel, count);
        }
        if (channel < channels_)
            depthwise_channels<COLUMNS / 2>(down, offset, index, channel, int(channels_ - channel));
    }

    // May compute channels beyond the last, which the next pixel's or the room behind the rows stand in for.
    template <int COUNT>
    inline void depthwise_channels(const Window::Span& down, size_t offset, size_t index, uint32_t channel, int count) {
        alignas(ALIGNMENT) uint32_t sums[PANEL];
        Lanes acc[COUNT] = {};
        size_t step = size_t(window_->dw) * channels_;
        for (int32_t i = down.first; i < down.last; i++) {
            const uint32_t* x = row_at(down.start + i * window_->dh) + offset + channel;
            const uint32_t* weight = tap_weights_.data() + size_t(i) * window_->kw * channels_ + channel;
            for (int32_t j = 0; j < window_->kw; j++, x += step, weight += channels_)
#pragma GCC unroll 8
                for (int c = 0; c < COUNT; c++) acc[c] += load_lanes(x + c * LANES) * load_lanes(weight + c * LANES);
        }
        for (int c = 0; c < COUNT; c++) store_lanes(sums + c * LANES, acc[c]);
        requantizer_.narrow(sums, channel, count, *out_, index + channel);
    }

    std::optional<Window> window_;
    Requantizer requantizer_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
    uint32_t groups_ = 1, channels_ = 1, inside_ = 1, outside_ = 1, panels_ = 1, held_ = 1, span_ = 1;
    size_t depth_ = 1, padded_ = 1, row_ = 1;
    bool narrow_ = true, short_ = true;
    Buffer<int8_t> narrow_weights_;
    Buffer<int16_t> wide_weights_;
    Buffer<uint32_t> tile_, tap_weights_, rows_;
    Buffer<int32_t> sources_;
};

}  // namespace socquant
