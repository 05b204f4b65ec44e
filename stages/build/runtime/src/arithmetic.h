// The rules of docs/arithmetic.md on single numbers, and float functions that give the same bits on every machine.
#pragma once

#include "base.h"

namespace socquant {

template <class T>
inline T clamp(T value, T low, T high) {
    return value < low ? low : value > high ? high : value;
}

inline int64_t multiply(int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }
inline int64_t add(int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }

// Toward minus infinity; divisor > 0.
inline int64_t floor_divide(int64_t value, int64_t divisor) {
    int64_t quotient = value / divisor;
    return quotient - (value % divisor < 0);
}

// Accumulator -> code: the end of every fixed-point operator.
struct Scaled {
    int shift = 1, zero_point = 0, low = 0, high = 0;

    int32_t operator()(int64_t acc) const {
        int64_t value = add(acc, int64_t(1) << (shift - 1)) >> shift;
        return int32_t(clamp<int64_t>(add(value, zero_point), low, high));
    }
};

// Nearest integer, halves to even, for |x| < 2^22.
inline float round_even(float x) {
    constexpr float magic = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to integers
    return (x + magic) - magic;
}

// Real value -> code, as the simulator does: one division, halves to even, clamped; what is no number becomes 0.
inline int32_t quantize(float value, float scale, int32_t zero_point, int32_t qmax) {
    float low = float(-zero_point), high = float(qmax - zero_point), scaled = value / scale;
    if (scaled != scaled) scaled = 0.0f;
    scaled = scaled > low ? (scaled < high ? scaled : high) : low;
    return int32_t(round_even(scaled)) + zero_point;
}

// The same by a product with the scale's reciprocal, halves away from zero.
inline int32_t quantize_away(float value, float reciprocal, int32_t zero_point, int32_t qmax) {
    float low = float(-zero_point), high = float(qmax - zero_point), scaled = value * reciprocal;
    if (scaled != scaled) scaled = 0.0f;
    scaled = scaled > low ? (scaled < high ? scaled : high) : low;
    int32_t whole = int32_t(scaled);  // towards zero
    float rest = scaled - float(whole);
    return whole + (rest >= 0.5f) - (rest <= -0.5f) + zero_point;
}

// e^x with an error below 1e-15 of it: Taylor around the nearest multiple of ln 2 / 8.
inline double exponential(double x) {
    if (!(x > -745.0)) return x != x ? x : 0.0;
    if (x > 709.0) return __builtin_inf();
    constexpr double step = 0.08664339756999316;      // ln 2 / 8
    constexpr double upper = 0.08664339734241366;     // its leading bits: products with small integers are exact
    constexpr double lower = 2.2757949981301828e-10;  // the rest
    int32_t number = int32_t(x / step + (x < 0 ? -0.5 : 0.5));
    double rest = (x - number * upper) - number * lower;
    double sum = 1.0;
    for (int term = 12; term > 0; term--) sum = 1.0 + sum * rest / term;
    static const double roots[8] = {1.0,
                                    1.0905077326652577,
                                    1.189207115002721,
                                    1.2968395546510096,
                                    1.4142135623730951,
                                    1.5422108254079407,
                                    1.681792830507429,
                                    1.8340080864093424};  // 2^(i/8)
    int32_t power = number >> 3;
    double result = sum * roots[number & 7];
    for (; power > 0; power--) result *= 2.0;
    for (; power < 0; power++) result *= 0.5;
    return result;
}

}  // namespace socquant
