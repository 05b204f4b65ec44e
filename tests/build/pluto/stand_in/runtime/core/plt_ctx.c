#include "core/plt_ctx.h"

int plt_ctx_open(plt_ctx_t *ctx) { return ctx->flags; }
volatile uint8_t *plt_ctx_ptr(const plt_ctx_t *ctx, plt_mem_t mem) { return ctx->host_base + mem.off; }
