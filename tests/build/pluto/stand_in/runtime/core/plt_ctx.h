/* Stands in for t41-pluto's header: what the program that prints boxes uses of it. */
#ifndef PLT_CORE_CTX_H
#define PLT_CORE_CTX_H
#include <stdint.h>

#define PLT_F_LIVENESS 0x10
#define PLT_MAX_IO 4
#define PLT_UNUSED 0xFFFFFFFFu
enum plt_format { PLT_FMT_NDHWC32 = 1, PLT_FMT_VEC = 3 };

typedef struct { uint32_t off, bytes; } plt_mem_t;
typedef struct { int32_t n, c, h, w; } plt_shape_t;
typedef struct { float scale; int32_t zero_point; } plt_quant_t;
typedef struct {
    plt_shape_t shape;
    uint8_t dtype, layout;
    plt_quant_t q;
    plt_mem_t mem;
    const char *name;
} plt_tensor_t;
typedef struct { uint32_t input_ids[PLT_MAX_IO], output_id; } plt_layer_rec_t;
typedef struct { int flags; uint8_t *host_base; char err[128]; } plt_ctx_t;

int plt_ctx_open(plt_ctx_t *ctx);
volatile uint8_t *plt_ctx_ptr(const plt_ctx_t *ctx, plt_mem_t mem);

#endif
