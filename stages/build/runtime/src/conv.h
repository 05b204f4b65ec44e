// Weighted layers: convolutions (dense, grouped, depthwise, transposed) and matrix products, which are 1x1 convolutions.
//
// Weights lie in panels of PANEL output channels. ROWS output pixels are gathered into a tile of 32-bit numbers, padding
// included, and multiplied by one panel after the other; sums stay in registers. Codes enter as they are, their zero
// point goes into the bias. Layers whose sums might not fit 32 bits take 64.
#pragma once

#include "requantize.h"

namespace socquant {

// What a window is: shapes, and which input pixel an output pixel meets at a tap.
struct Window {
    int32_t n, h, w, c, ho, wo, kh, kw, sh, sw, dh, dw, ph, pw;
    bool transposed = false;

    void read(Call& call) {
        n = call.size(), h = call.size(), w = call.size(), c = call.size(), ho = call.size(), wo = call.size();
        kh = call.attribute(1, 65535), kw = call.attribute(1, 65535);
        sh = call.attribute(1, 65535), sw = call.attribute(1, 65535);
        dh = call.attribute(1, 65535), dw = call.attribute(1, 65535);
        ph = call.attribute(0, 65535), pw = call.attribute(0, 65535);
        // no position overflows 32 bits
        call.need(int64_t(ho) * sh + int64_t(kh) * dh < INT32_MAX && int64_t(wo) * sw + int64_t(kw) * dw < INT32_MAX);
    }
    uint64_t taken() const { return product(n, h, w, c); }
    uint64_t made(uint64_t channels) const { return product(n, ho, wo, channels); }

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
        work.pad[0] = uint32_t(ph), work.pad[2] = uint32_t(pw);
        work.dilation[0] = uint32_t(dh), work.dilation[1] = uint32_t(dw);
    }
};

// Weights as they lie in the file: `bits` each, two's complement, lowest bit first, without gaps.
inline int32_t unpack(const uint8_t* bytes, uint64_t index, int bits) {
    uint64_t first = index * uint64_t(bits), last = first + uint64_t(bits) - 1;
    uint32_t word = 0;
    for (uint64_t byte = first / 8; byte <= last / 8; byte++) word |= uint32_t(bytes[byte]) << (8 * (byte - first / 8));
    word >>= first % 8;
    return int32_t(word << (32 - bits)) >> (32 - bits);
}

// acc[r][j] = sum over k of x[r][k] * weights[k][j] for ROWS pixels and a panel of channels.
template <class W>
inline void multiply_panel(const uint32_t* __restrict x, size_t stride, const W* __restrict weights, size_t depth,
                           uint32_t* __restrict out) {
    Lanes acc[ROWS][COLUMNS] = {};
    for (size_t k = 0; k < depth; k++, weights += PANEL) {
        Lanes column[COLUMNS];
#pragma GCC unroll 8
        for (int c = 0; c < COLUMNS; c++) column[c] = load_lanes(weights + c * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) {
            Lanes value = Lanes{} + x[size_t(r) * stride + k];
#pragma GCC unroll 8
            for (int c = 0; c < COLUMNS; c++) acc[r][c] += value * column[c];
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) store_lanes(out + r * PANEL + c * LANES, acc[r][c]);
}

class Conv : public Operator {
  public:
    bool prepare(Call& call) override {
        window_.transposed = call.attribute(0, 1);
        window_.read(call);
        groups_ = uint32_t(call.size());
        channels_ = uint32_t(call.size());
        Tensor &x = call.in(0), &weights = call.in(1);
        call.need(x.codes() && x.elements == window_.taken() && call.out().elements == window_.made(channels_));
        call.need(window_.c % int32_t(groups_) == 0 && channels_ % groups_ == 0);
        if (call.bad()) return call.finished();
        inside_ = uint32_t(window_.c) / groups_, outside_ = channels_ / groups_;
        depth_ = product(window_.kh, window_.kw, inside_);
        call.need_constant(weights, Kind::weights, product(channels_, depth_));
        if (call.bad()) return call.finished();
        if (!requantizer_.prepare(call, 2, channels_)) return false;
        if (!call.finished()) return false;
        in_ = &x, out_ = &call.out();
        depthwise_ = inside_ == 1 && outside_ == 1 && groups_ > 1 && !window_.transposed;
        if (!pack(weights)) return false;
        describe(weights);
        return (depthwise_ && narrow_) || (tile_.allocate(depth_ * ROWS) && sources_.allocate(ROWS * taps()));
    }

    void run() override {
        with_codes(*in_, [this](auto* x) {
            if (depthwise_ && narrow_)
                short_ ? depthwise(x, narrow_weights_.data()) : depthwise(x, wide_weights_.data());
            else
                dense(x);
        });
    }

  private:
    uint32_t taps() const { return uint32_t(window_.kh) * uint32_t(window_.kw); }

    // Sorts the weights into panels, and finds out whether 32 bits do for every sum.
    bool pack(const Tensor& weights) {
        short_ = weights.bits <= 8;
        panels_ = (outside_ + PANEL - 1) / PANEL;
        bool by_tap = depthwise_;
        uint64_t room = by_tap ? product(depth_, channels_) + PANEL : product(groups_, panels_, PANEL, depth_);
        if (!(short_ ? narrow_weights_.allocate(room) : wide_weights_.allocate(room))) return false;
        narrow_ = true;
        int64_t lowest = -in_->zero_point, highest = in_->top() - in_->zero_point;
        for (uint32_t m = 0; m < channels_; m++) {
            int64_t positive = 0, negative = 0;
            for (uint64_t k = 0; k < depth_; k++) {
                int32_t value = unpack(weights.data, m * depth_ + k, weights.bits);
                (value > 0 ? positive : negative) += value > 0 ? value : -value;
                store(by_tap ? k * channels_ + m : at(m, k), value);
            }
            int64_t least = positive * lowest - negative * highest, most = positive * highest - negative * lowest;
            narrow_ &= requantizer_.fits(m, least, most);
            if (!by_tap) requantizer_.fold(m, (positive - negative) * in_->zero_point);
        }
        if (!narrow_ && by_tap) {  // the 64-bit sums read panels
            depthwise_ = false;
            return pack(weights);
        }
        return true;
    }
    uint64_t at(uint32_t m, uint64_t k) const {
        uint64_t group = m / outside_, j = m % outside_;
        return ((group * panels_ + j / PANEL) * depth_ + k) * PANEL + j % PANEL;
    }
    void store(uint64_t index, int32_t value) {
        if (short_)
            narrow_weights_[index] = int8_t(value);
        else
            wide_weights_[index] = int16_t(value);
    }

    void describe(const Tensor& weights) {
        bool product = taps() == 1 && window_.h == 1 && window_.w == 1;
        work.type = product ? "FullConnected" : depthwise_ ? "DepthwiseConvolution" : "Convolution";
        if (window_.transposed) work.type = "Deconvolution";
        window_.describe(work, inside_, channels_);
        double places = double(window_.n) * (window_.transposed ? double(window_.h) * window_.w
                                                                : double(window_.ho) * window_.wo);
        work.operations = 2.0 * places * double(channels_) * double(depth_);
        work.parameter_bytes = double(weights.bytes()) + 8.0 * channels_;
    }

    template <class X>
    void dense(const X* x) {
        size_t pixels = size_t(window_.n) * window_.ho * window_.wo;
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
        int32_t column = int32_t(pixel % window_.wo), row = int32_t(pixel / window_.wo % window_.ho);
        int64_t picture = int64_t(pixel / window_.wo / window_.ho);
        for (int32_t i = 0; i < window_.kh; i++) {
            int32_t from = window_.row(row, i);
            for (int32_t j = 0; j < window_.kw; j++) {
                int32_t along = from < 0 ? -1 : window_.column(column, j);
                *sources++ = along < 0 ? -1 : int32_t(((picture * window_.h + from) * window_.w + along) * window_.c);
            }
        }
    }

    template <class X>
    void gather(const X* x, int row, uint32_t group) {
        const int32_t* sources = sources_.data() + size_t(row) * taps();
        uint32_t* to = tile_.data() + size_t(row) * depth_;
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
        weights += size_t(group) * panels_ * depth_ * PANEL;
        for (uint32_t panel = 0; panel < panels_; panel++, weights += depth_ * PANEL) {
            multiply_panel(tile_.data(), depth_, weights, depth_, acc);
            uint32_t begin = panel * PANEL, channel = group * outside_ + begin;
            int count = int(outside_ - begin < PANEL ? outside_ - begin : PANEL);
            for (int r = 0; r < rows; r++)
                requantizer_.narrow(acc + r * PANEL, channel, count, *out_, (first + size_t(r)) * channels_ + channel);
        }
    }

    void wide(size_t first, int rows, uint32_t group) {
        for (int r = 0; r < rows; r++)
            for (uint32_t j = 0; j < outside_; j++) {
                uint32_t channel = group * outside_ + j;
                const uint32_t* x = tile_.data() + size_t(r) * depth_;
                int64_t acc = 0;
                for (uint64_t k = 0; k < depth_; k++) {
                    uint64_t index = at(channel, k);
                    int64_t weight = short_ ? narrow_weights_[index] : wide_weights_[index];
                    acc += weight * (int64_t(x[k]) - in_->zero_point);
                }
                requantizer_.wide(acc, channel, *out_, (first + size_t(r)) * channels_ + channel);
            }
    }

    template <class X, class W>
    void depthwise(const X* x, const W* weights) {
        for (int32_t picture = 0; picture < window_.n; picture++)
            for (int32_t row = 0; row < window_.ho; row++)
                for (int32_t column = 0; column < window_.wo; column++) {
                    size_t index = ((size_t(picture) * window_.ho + row) * window_.wo + column) * channels_;
                    const X* pixels = x + size_t(picture) * window_.h * window_.w * channels_;
                    depthwise_pixel(pixels, weights, row, column, index);
                }
    }

    template <class X, class W>
    void depthwise_pixel(const X* x, const W* weights, int32_t row, int32_t column, size_t index) {
        alignas(ALIGNMENT) uint32_t sums[PANEL];
        uint32_t zero_point = uint32_t(in_->zero_point), channel = 0;
        for (; channel + PANEL <= channels_; channel += PANEL) {
            Lanes acc[COLUMNS] = {};
            window_.each_tap(row, column, [&](size_t pixel, uint32_t tap) {
                const X* from = x + pixel * channels_ + channel;
                const W* weight = weights + size_t(tap) * channels_ + channel;
                for (int c = 0; c < COLUMNS; c++)
                    acc[c] += (load_lanes(from + c * LANES) - zero_point) * load_lanes(weight + c * LANES);
            });
            for (int c = 0; c < COLUMNS; c++) store_lanes(sums + c * LANES, acc[c]);
            requantizer_.narrow(sums, channel, PANEL, *out_, index + channel);
        }
        uint32_t rest = channels_ - channel;
        if (rest == 0) return;
        memset(sums, 0, sizeof sums);
        window_.each_tap(row, column, [&](size_t pixel, uint32_t tap) {
            const X* from = x + pixel * channels_ + channel;
            const W* weight = weights + size_t(tap) * channels_ + channel;
            for (uint32_t i = 0; i < rest; i++) sums[i] += (from[i] - zero_point) * uint32_t(weight[i]);
        });
        requantizer_.narrow(sums, channel, int(rest), *out_, index + channel);
    }

    Window window_;
    Requantizer requantizer_;
    const Tensor *in_ = nullptr, *out_ = nullptr;
    uint32_t groups_ = 1, channels_ = 1, inside_ = 1, outside_ = 1, panels_ = 1;
    uint64_t depth_ = 1;
    bool depthwise_ = false, narrow_ = true, short_ = true;
    Buffer<int8_t> narrow_weights_;
    Buffer<int16_t> wide_weights_;
    Buffer<uint32_t> tile_;
    Buffer<int32_t> sources_;
};

}  // namespace socquant
