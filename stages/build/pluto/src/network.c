#include "network.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/plt_layout.h"
#include "plt_engine.h"

enum { CELL = 32 }; /* channels of a pixel that lie beside each other */

static plt_ctx_t context;
static plt_engine_t engine; /* too large for the stack */

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "error: %s: %s\n", what, why);
    return -1;
}

static int load_input(const char *path)
{
    FILE *file = fopen(path, "rb");
    void *content = NULL;
    long size = -1;
    int loaded = 0;

    if (file && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size > 0) content = malloc((size_t)size);
    if (content) {
        rewind(file);
        loaded = fread(content, 1, (size_t)size, file) == (size_t)size;
    }
    if (file) fclose(file);
    if (!loaded) {
        free(content);
        return fail(path, "cannot be read");
    }
    loaded = plt_engine_input(&engine, content, (uint32_t)size) == 0;
    free(content);
    return loaded ? 0 : fail(path, context.err);
}

/* Whether a layer reads the tensor. What none reads is an output: the header of a model names four at most. */
static int is_read(uint32_t tensor)
{
    for (int layer = 0; layer < engine.n; layer++)
        for (int i = 0; i < PLT_MAX_IO; i++)
            if (engine.node[layer].rec->input_ids[i] == tensor) return 1;
    return 0;
}

/* A byte is its code + 128. Cells of 32 channels, planes of cells, rows padded to 4 cells and planes to 2 rows. */
static int take(const plt_tensor_t *tensor, network_output_t *output)
{
    const int channels = tensor->shape.c, height = tensor->shape.h, width = tensor->shape.w;
    const uint32_t row = plt_ndhwc32_row_bytes(width), plane = plt_ndhwc32_plane_bytes(height, width);
    const volatile uint8_t *bytes = plt_ctx_ptr(&context, tensor->mem);
    float *values = malloc(sizeof(float) * (size_t)height * (size_t)width * (size_t)channels);

    if (!values) return fail("an output", "no memory for it");
    if (!bytes || tensor->layout != PLT_FMT_NDHWC32) {
        free(values);
        return fail(tensor->name, "is no output of a convolution");
    }
    *output = (network_output_t){height, width, channels, values};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                const uint32_t at = (uint32_t)(c / CELL) * plane + (uint32_t)y * row + (uint32_t)(x * CELL + c % CELL);
                *values++ = tensor->q.scale * (float)(bytes[at] - 128 - tensor->q.zero_point);
            }
    return 0;
}

int network_run(const char *model, const char *input, network_output_t *outputs, int most)
{
    int count = 0;

    if (plt_ctx_open(&context) != 0) return fail("the NPU", context.err);
    context.flags = PLT_F_LIVENESS; /* before loading: it decides where features lie, and keeps what no layer reads */
    if (plt_engine_load(&context, model, &engine) != 0) return fail(model, context.err);
    if (load_input(input) != 0) return -1;
    if (plt_engine_run(&engine, -1, -1) != 0) return fail(model, context.err);
    for (int layer = 0; layer < engine.n; layer++) {
        if (is_read(engine.node[layer].rec->output_id)) continue;
        if (count < most && take(&engine.node[layer].out, &outputs[count]) != 0) return -1;
        count++;
    }
    return count;
}
