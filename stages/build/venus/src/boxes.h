// What is printed of a detector: its boxes.
#pragma once

#include "board.h"
#include "detector.h"

inline void report(const Values& values, const Placement& at) {
    detector::Outputs outputs;
    for (const std::vector<float>& output : values) outputs.push_back(output.data());
    const float x = float(at.picture_width) / at.width, y = float(at.picture_height) / at.height;
    detector::print(detector::detect(outputs),
                    {at.picture_width, at.picture_height, float(at.left), float(at.top), x, y});
}
