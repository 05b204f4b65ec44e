// From a detector's outputs to boxes: decoding, suppression, and back to the picture's pixels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "board.h"

struct Box {
    float left, top, right, bottom, score;
    int label;
};

inline float logistic(float x) { return 1 / (1 + std::exp(-x)); }

// Boxes in pixels of the input whose best class reaches the threshold.
inline std::vector<Box> decode(const Values& values) {
    const bool anchored = model::kind == model::Kind::YOLOV5;
    auto score = [](float x) { return model::logits ? logistic(x) : x; };
    std::vector<Box> boxes;
    for (const model::Level& level : model::levels) {
        const int anchors = anchored ? int(level.anchors.size()) / 2 : 1;
        for (int i = 0; i < level.rows * level.columns * anchors; i++) {
            auto row = [&](const model::View& view) { return &values[view.output][view.first + i * view.step]; };
            const float *box = row(level.box), *classes = row(level.classes);
            const int label = int(std::max_element(classes, classes + model::classes) - classes);
            const float confidence = score(*row(level.objectness)) * score(classes[label]);
            if (!(confidence >= model::score_threshold)) continue;
            const int cell = i / anchors, column = cell % level.columns, line = cell / level.columns;
            float x, y, width, height;
            if (anchored) {  // Ultralytics: all four through the logistic function
                const float* anchor = &level.anchors[i % anchors * 2];
                x = (2 * score(box[0]) - 0.5f + column) * level.stride;
                y = (2 * score(box[1]) - 0.5f + line) * level.stride;
                width = 4 * score(box[2]) * score(box[2]) * anchor[0];
                height = 4 * score(box[3]) * score(box[3]) * anchor[1];
            } else {  // Ge et al., YOLOX, 2021
                x = (box[0] + column) * level.stride;
                y = (box[1] + line) * level.stride;
                width = std::exp(box[2]) * level.stride;
                height = std::exp(box[3]) * level.stride;
            }
            boxes.push_back({x - width / 2, y - height / 2, x + width / 2, y + height / 2, confidence, label});
        }
    }
    return boxes;
}

inline float overlap(const Box& a, const Box& b) {
    const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
    const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
    if (width <= 0 || height <= 0) return 0;
    const float both = width * height;
    return both / ((a.right - a.left) * (a.bottom - a.top) + (b.right - b.left) * (b.bottom - b.top) - both);
}

// Drops boxes that overlap a better one of their class; the best comes first.
inline std::vector<Box> suppress(std::vector<Box> boxes) {
    std::stable_sort(boxes.begin(), boxes.end(), [](const Box& a, const Box& b) { return a.score > b.score; });
    std::vector<Box> kept;
    for (const Box& box : boxes)
        if (std::none_of(kept.begin(), kept.end(), [&](const Box& better) {
                return better.label == box.label && overlap(better, box) > model::nms_threshold;
            }))
            kept.push_back(box);
    return kept;
}

inline void report(const Values& values, const Placement& at) {
    const std::vector<Box> boxes = suppress(decode(values));
    const float x = float(at.picture_width) / at.width, y = float(at.picture_height) / at.height;
    auto within = [](float value, int size) { return std::min(std::max(value, 0.0f), float(size)); };
    printf("%zu boxes in %d x %d pixels: left top right bottom score class\n", boxes.size(), at.picture_width,
           at.picture_height);
    for (const Box& box : boxes)
        printf("box: %.1f %.1f %.1f %.1f %.4f %d\n", within((box.left - at.left) * x, at.picture_width),
               within((box.top - at.top) * y, at.picture_height), within((box.right - at.left) * x, at.picture_width),
               within((box.bottom - at.top) * y, at.picture_height), box.score, box.label);
}
