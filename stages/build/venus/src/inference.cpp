// Runs the model on a picture: compiled in (img_input.h), the input's own pixels, or raw pixels of any size.

#include "board.h"
#include "postprocess.h"

#ifdef IMG_INPUT
#include "img_input.h"
#endif

namespace {

const char usage[] =
    "usage: %s MODEL [PICTURE [WIDTH HEIGHT]]\n"
    "  MODEL         the converted network\n"
    "  PICTURE       raw pixels, uint8, row by row, %s; %d x %d of them are the network's input as it is\n"
    "  WIDTH HEIGHT  of a picture of another size, which is then fitted to the input\n"
    "  Without PICTURE: the one of img_input.h, if that was there when this program was compiled.\n";

// The input's own pixels, with or without the board's fourth channel.
Exit take_input(const char* path, const Pixels& content, Pixels& input) {
    const size_t area = size_t(model::width) * model::height;
    if (content.size() != area * model::channels && content.size() != area * model::board_channels)
        return fail(MISUSED, "%s has %zu bytes; an input has %zu (%d x %d, %d channels): name its WIDTH HEIGHT", path,
                    content.size(), area * model::channels, model::width, model::height, model::channels);
    const size_t channels = content.size() / area;
    input.assign(area * model::board_channels, 0);
    for (size_t i = 0; i < area; i++)
        for (int c = 0; c < model::channels; c++) input[i * model::board_channels + c] = content[i * channels + c];
    return DONE;
}

Exit prepare(int count, char** words, Pixels& input, Placement& at) {
    if (count == 2) {
#ifdef IMG_INPUT
        static_assert(sizeof image == sizeof(unsigned char) * model::width * model::height * model::board_channels,
                      "img_input.h was made for another input");
        input.assign(image, image + sizeof image);
        at = {image_size[0], image_size[1], image_place[0], image_place[1], image_place[2], image_place[3]};
        return DONE;
#else
        return fail(MISUSED, "no picture is given, and no img_input.h was compiled in");
#endif
    }
    Pixels content;
    if (!read_file(words[2], content)) return fail(MISUSED, "%s cannot be read", words[2]);
    if (count == 3) return take_input(words[2], content, input);
    const int width = side(words[3]), height = side(words[4]);
    if (!width || !height) return fail(MISUSED, "WIDTH HEIGHT: give pixels, not %s %s", words[3], words[4]);
    const size_t wanted = size_t(width) * height * model::channels;
    if (content.size() != wanted)
        return fail(MISUSED, "%s has %zu bytes; %d x %d pixels of %d channels have %zu", words[2], content.size(), width,
                    height, model::channels, wanted);
    at = fit(content, width, height, input);
    return DONE;
}

}  // namespace

int main(int count, char** words) {
    if (count != 2 && count != 3 && count != 5) {
        fprintf(stderr, usage, words[0], model::color_name, model::width, model::height);
        return MISUSED;
    }
    Pixels input;
    Placement at = as_is();
    Values values;
    if (Exit code = prepare(count, words, input, at)) return code;
    if (Exit code = run(words[1], input, values)) return code;
    report(values, at);
    return dump(input, values);
}
