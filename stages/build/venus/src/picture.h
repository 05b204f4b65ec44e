// From a picture or a camera's frame to the network's input, as the PC prepares pictures (model.preprocess).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "model.h"

typedef std::vector<uint8_t> Pixels;

// The nearest whole number, of halves the even one. (Some of the board's C libraries lack C99's functions in std.)
inline int nearest(double value) {
    const int below = int(std::floor(value));
    const double rest = value - below;
    return rest > 0.5 || (rest == 0.5 && below % 2 != 0) ? below + 1 : below;
}

// Where a picture, scaled to width x height, lies in the network's input. What lies outside is cut off.
struct Placement {
    int picture_width, picture_height;
    int left, top, width, height;
};

// Of pixels that are the network's input already.
inline Placement as_is() { return {model::width, model::height, 0, 0, model::width, model::height}; }

inline Placement place(int picture_width, int picture_height) {
    double x = double(model::width) / picture_width, y = double(model::height) / picture_height, scale;
    Placement placement = {picture_width, picture_height, 0, 0, model::width, model::height};
    switch (model::fit) {
    case model::Fit::STRETCH:
        return placement;
    case model::Fit::LETTERBOX:
        scale = std::min(x, y);
        placement.width = std::max(1, nearest(picture_width * scale));
        placement.height = std::max(1, nearest(picture_height * scale));
        if (!model::centered) return placement;
        break;
    case model::Fit::CROP:
        scale = double(model::shorter_side) / std::min(picture_width, picture_height);
        scale = std::max(scale, std::max(x, y));  // never smaller than the cut
        placement.width = std::max(model::width, nearest(picture_width * scale));
        placement.height = std::max(model::height, nearest(picture_height * scale));
        placement.left = -((placement.width - model::width) / 2);
        placement.top = -((placement.height - model::height) / 2);
        return placement;
    }
    placement.left = (model::width - placement.width) / 2;
    placement.top = (model::height - placement.height) / 2;
    return placement;
}

// The pixels along an axis that a scaled pixel is made of, and their weights, which add up to 1.
struct Taps {
    int count;
    std::vector<int> index;     // count for each scaled pixel
    std::vector<float> weight;

    void add(int at, int length, double share) {
        index.push_back(std::min(std::max(at, 0), length - 1));
        weight.push_back(float(share));
    }
};

// OpenCV's interpolations. `shrinks`: along both axes, where AREA averages; elsewhere it is a kind of LINEAR.
inline Taps taps(int from, int to, bool shrinks) {
    const double enlarged = double(to) / from, scale = 1 / enlarged;
    Taps taps;
    const bool area = model::interpolation == model::Interpolation::AREA && shrinks;
    taps.count = area ? int(std::ceil(scale)) + 1 : 4;
    for (int i = 0; i < to; i++) {
        const double at = (i + 0.5) * scale - 0.5, below = std::floor(at), x = at - below;
        if (area) {
            const double begin = i * scale, end = std::min((i + 1) * scale, double(from));
            for (int k = int(begin), last = k + taps.count; k < last; k++) {
                const double covered = std::min(end, k + 1.0) - std::max(begin, double(k));
                taps.add(k, from, std::max(0.0, covered) / (end - begin));
            }
            continue;
        }
        double shares[4] = {0, 1, 0, 0};  // of the pixels below - 1 .. below + 2
        int first = int(below) - 1;
        switch (model::interpolation) {
        case model::Interpolation::NEAREST:
            first = int(std::floor(i * scale)) - 1;
            break;
        case model::Interpolation::LINEAR:
            shares[1] = 1 - x;
            shares[2] = x;
            break;
        case model::Interpolation::AREA: {
            first = int(std::floor(i * scale)) - 1;
            const double over = std::max(0.0, i + 1 - (first + 2) * enlarged);
            shares[2] = over - std::floor(over);
            shares[1] = 1 - shares[2];
            break;
        }
        case model::Interpolation::CUBIC: {
            const double a = -0.75, y = 1 - x;
            shares[0] = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
            shares[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
            shares[2] = ((a + 2) * y - (a + 3)) * y * y + 1;
            shares[3] = 1 - shares[0] - shares[1] - shares[2];
            break;
        }
        }
        for (int k = 0; k < 4; k++) taps.add(first + k, from, shares[k]);
    }
    return taps;
}

// Scales a picture into its place in the input, as `place` says.
//   picture  [height][width][model::channels], in the network's colour
//   input    [model::height][model::width][model::board_channels]; channels beyond the picture's are 0
inline Placement fit(const Pixels& picture, int width, int height, Pixels& input) {
    const Placement at = place(width, height);
    const bool shrinks = at.width <= width && at.height <= height;
    const Taps across = taps(width, at.width, shrinks), down = taps(height, at.height, shrinks);
    const int channels = model::channels, line = width * channels;
    input.assign(size_t(model::height) * model::width * model::board_channels, 0);
    std::vector<float> mixed(line);
    for (int y = 0; y < model::height; y++) {
        uint8_t* pixel = &input[size_t(y) * model::width * model::board_channels];
        const int row = y - at.top;
        const bool inside = row >= 0 && row < at.height;
        if (inside) {
            std::fill(mixed.begin(), mixed.end(), 0.0f);
            for (int k = row * down.count; k < (row + 1) * down.count; k++) {
                if (down.weight[k] == 0) continue;
                const uint8_t* source = &picture[size_t(down.index[k]) * line];
                for (int i = 0; i < line; i++) mixed[i] += down.weight[k] * source[i];
            }
        }
        for (int x = 0; x < model::width; x++, pixel += model::board_channels) {
            const int column = x - at.left;
            for (int c = 0; c < channels; c++) {
                float value = model::pad;
                if (inside && column >= 0 && column < at.width) {
                    value = 0;
                    for (int k = column * across.count; k < (column + 1) * across.count; k++)
                        value += across.weight[k] * mixed[across.index[k] * channels + c];
                }
                pixel[c] = uint8_t(std::min(std::max(value, 0.0f), 255.0f) + 0.5f);
            }
        }
    }
    return at;
}

// A camera's frame as pixels in the network's colour: BT.601, limited range (luma 16..235), as OpenCV reads NV12.
//   frame  a luma a pixel, then U and V a square of four pixels; width and height even
inline Pixels from_nv12(const Pixels& frame, int width, int height) {
    Pixels picture(size_t(width) * height * model::channels);
    auto byte = [](int value) { return uint8_t(std::min(std::max((value + 32768) >> 16, 0), 255)); };
    uint8_t* pixel = picture.data();
    for (int y = 0; y < height; y++) {
        const uint8_t *luma = &frame[size_t(y) * width], *chroma = &frame[size_t(height + y / 2) * width];
        for (int x = 0; x < width; x++, pixel += model::channels) {
            // in 65536ths: 255/219 luma; 1.402, 0.344136, 0.714136, 1.772 times 255/224 chroma
            const int grey = 76309 * std::max(luma[x] - 16, 0);
            const int u = chroma[x / 2 * 2] - 128, v = chroma[x / 2 * 2 + 1] - 128;
            const uint8_t red = byte(grey + 104597 * v), green = byte(grey - 25675 * u - 53279 * v),
                          blue = byte(grey + 132201 * u);
            if (model::color == model::Color::GRAY) {
                pixel[0] = byte(19595 * red + 38470 * green + 7471 * blue);
            } else {
                pixel[0] = model::color == model::Color::RGB ? red : blue;
                pixel[1] = green;
                pixel[2] = model::color == model::Color::RGB ? blue : red;
            }
        }
    }
    return picture;
}
