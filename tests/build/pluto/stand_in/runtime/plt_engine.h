/* Stands in for t41-pluto's header: what the program that prints boxes uses of it. */
#ifndef PLT_ENGINE_H
#define PLT_ENGINE_H
#include "core/plt_ctx.h"

#define PLT_MAX_LAYERS 256
typedef struct { const plt_layer_rec_t *rec; plt_tensor_t out; } plt_node_t;
typedef struct { plt_ctx_t *ctx; int n; plt_node_t node[PLT_MAX_LAYERS]; } plt_engine_t;

int plt_engine_load(plt_ctx_t *ctx, const char *model_path, plt_engine_t *eng);
int plt_engine_input(plt_engine_t *eng, const void *data, uint32_t bytes);
int plt_engine_run(plt_engine_t *eng, int first, int last);

#endif
