// What board.py prints of a detector: `make libboxes.so` builds it.
#include "detector.h"

// values: of each output, NHWC. The picture has width x height pixels, begins at left, top of the network's input and
// has x, y of its pixels for each of the input's.
extern "C" void print_boxes(const float* const* values, int count, int width, int height, float left, float top,
                            float x, float y) {
    const detector::Outputs outputs(values, values + count);
    detector::print(detector::detect(outputs), {width, height, left, top, x, y});
    fflush(stdout);
}
