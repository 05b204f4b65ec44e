// As many 32-bit numbers as a vector register holds, written so that the compiler does the rest; one number where it has
// no vectors. Unsigned: sums may wrap on their way, the final one is exact where it fits 32 bits.
#pragma once

#include "base.h"

namespace socquant {

#if defined(__AVX512F__)
constexpr int LANES = 16, COLUMNS = 2, ROWS = 8;
#elif defined(__AVX2__)
constexpr int LANES = 8, COLUMNS = 2, ROWS = 4;
#elif defined(__SSE2__) || defined(__ARM_NEON) || defined(__mips_msa)
constexpr int LANES = 4, COLUMNS = 2, ROWS = 4;
#else
constexpr int LANES = 1, COLUMNS = 4, ROWS = 4;
#endif
constexpr int PANEL = LANES * COLUMNS;  // output channels that are computed together

#if defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE2__) || defined(__ARM_NEON) || defined(__mips_msa)
typedef uint32_t Lanes __attribute__((vector_size(LANES * 4)));
typedef int32_t SignedLanes __attribute__((vector_size(LANES * 4)));
#else
typedef uint32_t Lanes;
typedef int32_t SignedLanes;
#endif

inline Lanes load_lanes(const uint32_t* from) {
    Lanes values;
    memcpy(&values, from, sizeof values);
    return values;
}
inline void store_lanes(uint32_t* to, Lanes values) { memcpy(to, &values, sizeof values); }

}  // namespace socquant
