/* Runs a compiled network in the open T41 runtime, and gives the real values of its outputs. In C, as the runtime is. */
#ifndef NETWORK_H
#define NETWORK_H

#ifdef __cplusplus
extern "C" {
#endif

/* An output: values NHWC, batch 1. */
typedef struct {
    int height, width, channels;
    float *values;
} network_output_t;

/* Run the network on one input, which is a file as build writes it: in.bin.
 *
 * outputs: filled in the order of the network's layers; at most `most` of them. They stay until the program ends.
 * Returns how many outputs the network has; -1 after a message on stderr. */
int network_run(const char *model, const char *input, network_output_t *outputs, int most);

#ifdef __cplusplus
}
#endif

#endif
