/* Reads layers as text, one a line: input tensor (or -1), output tensor, channels, height, width, scale, zero point.
 * Its "input" is the bytes of all features, in the order of the layers: running the network leaves them where they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/plt_layout.h"
#include "plt_engine.h"

static plt_layer_rec_t records[PLT_MAX_LAYERS];

int plt_engine_load(plt_ctx_t *ctx, const char *model_path, plt_engine_t *eng)
{
    FILE *file = fopen(model_path, "r");
    uint32_t end = 0;
    int in, out, c, h, w, zero_point;
    float scale;

    eng->ctx = ctx;
    if (!file || ctx->flags != PLT_F_LIVENESS) {
        snprintf(ctx->err, sizeof ctx->err, "cannot load %s", model_path);
        return -1;
    }
    while (fscanf(file, "%d %d %d %d %d %f %d", &in, &out, &c, &h, &w, &scale, &zero_point) == 7) {
        plt_node_t *node = &eng->node[eng->n];
        const uint32_t bytes = (uint32_t)((c + 31) / 32) * plt_ndhwc32_plane_bytes(h, w);
        plt_layer_rec_t *record = &records[eng->n++];
        for (int i = 0; i < PLT_MAX_IO; i++) record->input_ids[i] = PLT_UNUSED;
        record->input_ids[0] = (uint32_t)in;
        record->output_id = (uint32_t)out;
        node->rec = record;
        node->out = (plt_tensor_t){{1, c, h, w}, 0, PLT_FMT_NDHWC32, {scale, zero_point}, {end, bytes}, "act"};
        end += bytes;
    }
    fclose(file);
    ctx->host_base = calloc(end, 1);
    return 0;
}

int plt_engine_input(plt_engine_t *eng, const void *data, uint32_t bytes)
{
    const plt_mem_t last = eng->node[eng->n - 1].out.mem;
    if (bytes != last.off + last.bytes) {
        snprintf(eng->ctx->err, sizeof eng->ctx->err, "input is %u bytes, the model wants %u", bytes,
                 last.off + last.bytes);
        return -1;
    }
    memcpy(eng->ctx->host_base, data, bytes);
    return 0;
}

int plt_engine_run(plt_engine_t *eng, int first, int last) { return eng->n > 0 && first == -1 && last == -1 ? 0 : -1; }
