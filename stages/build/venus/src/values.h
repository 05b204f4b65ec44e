// What is printed of a network that is no detector: the five greatest values of a vector, the range of anything else.
#pragma once

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include "board.h"

// Indices of the greatest values, the greatest first; of equal values the first.
inline std::vector<int> greatest(const std::vector<float>& values, size_t count) {
    std::vector<int> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    count = std::min(count, order.size());
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int a, int b) {
        return values[a] > values[b] || (values[a] == values[b] && a < b);
    });
    order.resize(count);
    return order;
}

inline void report(const Values& values, const Placement&) {
    for (size_t i = 0; i < values.size(); i++) {
        const model::Output& output = model::outputs[i];
        printf("output %zu: %s %s\n", i, output.name, text(output.shape).c_str());
        if (squeezed(output.shape).size() > 1) {
            const auto ends = std::minmax_element(values[i].begin(), values[i].end());
            printf("  %g .. %g\n", *ends.first, *ends.second);
            continue;
        }
        for (int index : greatest(values[i], 5)) printf("  class %d: %.4f\n", index, values[i][index]);
    }
}
