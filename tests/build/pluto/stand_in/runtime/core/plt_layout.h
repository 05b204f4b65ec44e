/* Stands in for t41-pluto's header: what the program that prints boxes uses of it. */
#ifndef PLT_CORE_LAYOUT_H
#define PLT_CORE_LAYOUT_H
#include <stdint.h>
#include "core/plt_ctx.h"

static inline uint32_t plt_ndhwc32_row_bytes(int w) { return (uint32_t)((w + 3) / 4 * 4) * 32u; }
static inline uint32_t plt_ndhwc32_plane_bytes(int h, int w)
{
    return (uint32_t)((h + 1) / 2 * 2) * plt_ndhwc32_row_bytes(w);
}

#endif
