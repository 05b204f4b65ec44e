// Runs the model on a camera's frame: NV12, a luma a pixel, then U and V in turn, one a square of four pixels.

#include "board.h"
#include "postprocess.h"

int main(int count, char** words) {
    if (count != 5) {
        fprintf(stderr,
                "usage: %s MODEL FRAME WIDTH HEIGHT\n"
                "  MODEL         the converter's .bin\n"
                "  FRAME         an NV12 frame without padding: WIDTH * HEIGHT * 3 / 2 bytes\n"
                "  WIDTH HEIGHT  its size in pixels, both even\n",
                words[0]);
        return MISUSED;
    }
    const int width = side(words[3]), height = side(words[4]);
    if (!width || !height || width % 2 || height % 2)
        return fail(MISUSED, "WIDTH HEIGHT: give even numbers of pixels, not %s %s", words[3], words[4]);
    Pixels frame, input;
    if (!read_file(words[2], frame)) return fail(MISUSED, "%s cannot be read", words[2]);
    const size_t wanted = size_t(width) * height * 3 / 2;
    if (frame.size() != wanted)
        return fail(MISUSED, "%s has %zu bytes; an NV12 frame of %d x %d has %zu", words[2], frame.size(), width, height,
                    wanted);
    const Placement at = fit(from_nv12(frame, width, height), width, height, input);
    Values values;
    if (Exit code = run(words[1], input, values)) return code;
    report(values, at);
    return dump(input, values);
}
