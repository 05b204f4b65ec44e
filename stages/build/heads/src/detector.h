// From a network's outputs to boxes: decoding by the tables of head.h, and suppression. In float32, in the order of
// operations of stages/core/heads, so that the PC finds the same boxes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <utility>
#include <vector>

#include "head.h"

namespace detector {

using head::Coding;

typedef std::vector<const float*> Outputs;  // the values of each output, NHWC

// In pixels; `visible` is how surely it can be seen, 0..1.
struct Point {
    float x, y, visible;
};

// In pixels of the input; label: the class.
struct Box {
    float left, top, right, bottom, score;
    int label;
    std::vector<Point> points;
};

// The values of an anchor of a cell. Null: the head has none of this kind.
struct Row {
    float column, line;
    head::Anchor anchor;
    const float *boxes, *sizes, *objectness, *classes, *keypoints;
};

inline float sigmoid(float x) {
    const float exponential = std::exp(-std::fabs(x));
    return x >= 0 ? 1 / (1 + exponential) : exponential / (1 + exponential);
}

inline float probability(float x) { return head::logits ? sigmoid(x) : x; }

// Of some values.
struct Softmax {
    float greatest, total;
    Softmax(const float* x, int count) : greatest(*std::max_element(x, x + count)), total(0) {
        for (int k = 0; k < count; k++) total += std::exp(x[k] - greatest);
    }
    float operator()(float x) const { return std::exp(x - greatest) / total; }
};

// --- scores -----------------------------------------------------------------------------------------------------

// Of every class of a row.
class Scores {
  public:
    explicit Scores(const Row& row)
        : values_(row.classes + background),
          softmax_(row.classes, softmaxed ? background + head::classes : 0),
          objectness_(row.objectness ? probability(*row.objectness) : 1) {}

    float operator()(int label) const {
        const float sure = softmaxed ? softmax_(values_[label]) : probability(values_[label]);
        switch (head::coding) {
        case Coding::YOLOV5:
        case Coding::YOLOV3:
        case Coding::YOLOX:
            return objectness_ * sure;
        case Coding::YUNET:
            return std::sqrt(objectness_ * sure);
        case Coding::FASTESTDET:
            return std::pow(objectness_, 0.6f) * std::pow(sure, 0.4f);
        default:
            return sure;
        }
    }

    // The best class, of equal scores the first; -1 if it does not reach the threshold.
    int best() const {
        int label = 0;
        for (int k = 0; k < head::classes; k++) {
            if (values_[k] != values_[k]) return -1;  // no number: a broken network's
            if (values_[k] > values_[label]) label = k;
        }
        const float score = (*this)(label);
        if (!(score >= head::score_threshold)) return -1;
        for (int k = 0; k < label; k++)  // scores can be equal where values are not
            if ((*this)(k) == score) label = k;
        return label;
    }

  private:
    static const bool softmaxed = head::coding == Coding::SSD || head::coding == Coding::FASTESTDET;
    static const int background = head::coding == Coding::SSD ? 1 : 0;  // the first class: nothing is there

    const float* values_;
    Softmax softmax_;
    float objectness_;
};

// --- boxes ------------------------------------------------------------------------------------------------------

inline void centred(float x, float y, float width, float height, Box& box) {
    box.left = x - width / 2, box.top = y - height / 2;
    box.right = x + width / 2, box.bottom = y + height / 2;
}

// The mean of a distribution over the bins 0, 1, 2, ...
inline float distance(const float* values) {
    if (head::bins == 1) return *values;
    const Softmax softmax(values, head::bins);
    float mean = 0;
    for (int k = 0; k < head::bins; k++) mean += softmax(values[k]) * k;
    return mean;
}

inline void decode_distances(const Row& row, const head::Level& level, Box& box) {
    const float width = head::in_pixels ? 1 : level.cell_width, height = head::in_pixels ? 1 : level.cell_height;
    const float x = (row.column + head::point) * level.cell_width, y = (row.line + head::point) * level.cell_height;
    box.left = x - distance(row.boxes) * width;
    box.top = y - distance(row.boxes + head::bins) * height;
    box.right = x + distance(row.boxes + 2 * head::bins) * width;
    box.bottom = y + distance(row.boxes + 3 * head::bins) * height;
}

inline void decode_box(const Row& row, const head::Level& level, Box& box) {
    const float* values = row.boxes;
    const float cell_width = level.cell_width, cell_height = level.cell_height;
    switch (head::coding) {
    case Coding::YOLOV8:
        return decode_distances(row, level, box);
    case Coding::YOLOV5: {
        const float width = 2 * probability(values[2]), height = 2 * probability(values[3]);
        return centred((2 * probability(values[0]) - 0.5f + row.column) * cell_width,
                       (2 * probability(values[1]) - 0.5f + row.line) * cell_height, width * width * row.anchor.width,
                       height * height * row.anchor.height, box);
    }
    case Coding::YOLOV3:
        return centred((probability(values[0]) + row.column) * cell_width,
                       (probability(values[1]) + row.line) * cell_height, std::exp(values[2]) * row.anchor.width,
                       std::exp(values[3]) * row.anchor.height, box);
    case Coding::YOLOX:
    case Coding::YUNET:
        return centred((values[0] + row.column) * cell_width, (values[1] + row.line) * cell_height,
                       std::exp(values[2]) * cell_width, std::exp(values[3]) * cell_height, box);
    case Coding::SSD:
        return centred((row.column + 0.5f) * cell_width + values[0] * 0.1f * row.anchor.width,
                       (row.line + 0.5f) * cell_height + values[1] * 0.1f * row.anchor.height,
                       std::exp(values[2] * 0.2f) * row.anchor.width, std::exp(values[3] * 0.2f) * row.anchor.height,
                       box);
    case Coding::CENTERFACE:  // y before x
        return centred((values[1] + row.column + 0.5f) * cell_width, (values[0] + row.line + 0.5f) * cell_height,
                       std::exp(row.sizes[1]) * cell_width, std::exp(row.sizes[0]) * cell_height, box);
    case Coding::FASTESTDET:
        return centred((std::tanh(values[0]) + row.column) * cell_width, (std::tanh(values[1]) + row.line) * cell_height,
                       sigmoid(values[2]) * head::width, sigmoid(values[3]) * head::height, box);
    }
}

// --- key points -------------------------------------------------------------------------------------------------

inline Point decode_point(const Row& row, const head::Level& level, const Box& box, float x, float y) {
    const float cell_width = level.cell_width, cell_height = level.cell_height;
    switch (head::coding) {
    case Coding::YOLOV8: {
        const float offset = head::keypoint_gain == 2 ? 0 : head::point;
        return {x * head::keypoint_gain * cell_width + (row.column + offset) * cell_width,
                y * head::keypoint_gain * cell_height + (row.line + offset) * cell_height, 1};
    }
    case Coding::YOLOX:
    case Coding::YUNET:
        return {(x + row.column) * cell_width, (y + row.line) * cell_height, 1};
    case Coding::SSD:
        return {x * 0.1f * row.anchor.width + (row.column + 0.5f) * cell_width,
                y * 0.1f * row.anchor.height + (row.line + 0.5f) * cell_height, 1};
    case Coding::CENTERFACE:  // the network gives y before x
        return {y * (std::exp(row.sizes[1]) * cell_width) + box.left,
                x * (std::exp(row.sizes[0]) * cell_height) + box.top, 1};
    default:
        return {x * row.anchor.width + row.column * cell_width, y * row.anchor.height + row.line * cell_height, 1};
    }
}

inline void decode_points(const Row& row, const head::Level& level, Box& box) {
    for (int first = 0; first < level.keypoints.count; first += head::keypoint_size) {
        const float* point = row.keypoints + first;
        box.points.push_back(decode_point(row, level, box, point[0], point[1]));
        if (head::keypoint_size == 3) box.points.back().visible = sigmoid(point[2]);
    }
}

// --- all rows ---------------------------------------------------------------------------------------------------

inline Row row_of(const Outputs& outputs, const head::Level& level, int cell, int anchor) {
    auto values = [&](const head::View& view) -> const float* {
        if (!view.count) return nullptr;
        return outputs[view.output] + view.first + size_t(cell) * view.cell_step + size_t(anchor) * view.anchor_step;
    };
    return {float(cell % level.columns), float(cell / level.columns), level.anchors[anchor],
            values(level.boxes),         values(level.sizes),         values(level.objectness),
            values(level.classes),       values(level.keypoints)};
}

inline bool is_number(const Box& box) {
    return box.left == box.left && box.top == box.top && box.right == box.right && box.bottom == box.bottom;
}

// Boxes whose best class reaches the score threshold, in the order of the head's rows.
inline std::vector<Box> decode(const Outputs& outputs) {
    std::vector<Box> boxes;
    for (const head::Level& level : head::levels) {
        const int cells = level.rows * level.columns, anchors = int(level.anchors.size());
        for (int i = 0; i < cells * anchors; i++) {
            const int cell = head::cells_first ? i / anchors : i % cells;
            const int anchor = head::cells_first ? i % anchors : i / cells;
            const Row row = row_of(outputs, level, cell, anchor);
            const Scores scores(row);
            Box box = Box();
            box.label = scores.best();
            if (box.label < 0) continue;
            box.score = scores(box.label);
            decode_box(row, level, box);
            if (!is_number(box)) continue;
            decode_points(row, level, box);
            boxes.push_back(std::move(box));
        }
    }
    return boxes;
}

// Intersection over union; 0 where they only touch.
inline float overlap(const Box& a, const Box& b) {
    const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
    const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
    if (!(width > 0 && height > 0)) return 0;
    const float both = width * height;
    return both / ((a.right - a.left) * (a.bottom - a.top) + (b.right - b.left) * (b.bottom - b.top) - both);
}

// The best boxes, the best first, of equal scores the earlier row; without those that overlap a better one of their class.
inline std::vector<Box> suppress(std::vector<Box> boxes) {
    std::stable_sort(boxes.begin(), boxes.end(), [](const Box& a, const Box& b) { return a.score > b.score; });
    std::vector<Box> kept;
    for (Box& box : boxes) {
        if (kept.size() == size_t(head::max_detections)) break;
        const bool worse = head::suppresses && std::any_of(kept.begin(), kept.end(), [&](const Box& better) {
                               return better.label == box.label && overlap(better, box) > head::nms_threshold;
                           });
        if (!worse) kept.push_back(std::move(box));
    }
    return kept;
}

inline std::vector<Box> detect(const Outputs& outputs) { return suppress(decode(outputs)); }

// --- printing ---------------------------------------------------------------------------------------------------

// A picture in the network's input.
struct Picture {
    int width, height;  // in its own pixels
    float left, top;    // where it begins, in pixels of the input
    float x, y;         // its pixels for each of the input's
};

// Prints boxes in the picture's pixels, clipped to it; key points where the head has them.
inline void print(const std::vector<Box>& boxes, const Picture& picture) {
    auto x = [&](float value) { return (value - picture.left) * picture.x; };
    auto y = [&](float value) { return (value - picture.top) * picture.y; };
    auto within = [](float value, int size) { return std::min(std::max(value, 0.0f), float(size)); };
    printf("%zu boxes in %d x %d pixels: left top right bottom score class\n", boxes.size(), picture.width,
           picture.height);
    for (const Box& box : boxes) {
        printf("box: %.1f %.1f %.1f %.1f %.4f %d\n", within(x(box.left), picture.width),
               within(y(box.top), picture.height), within(x(box.right), picture.width),
               within(y(box.bottom), picture.height), box.score, box.label);
        if (box.points.empty()) continue;
        printf("points:");
        for (const Point& point : box.points) printf("  %.1f %.1f %.2f", x(point.x), y(point.y), point.visible);
        putchar('\n');
    }
}

}  // namespace detector
