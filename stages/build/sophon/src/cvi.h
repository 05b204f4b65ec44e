// A .cvimodel on the cviruntime of the small chips.
#pragma once

#include "cviruntime.h"

struct Accelerator {
    CVI_MODEL_HANDLE model = nullptr;
    CVI_TENSOR *inputs = nullptr, *outputs = nullptr;
    int32_t input_count = 0, output_count = 0;

    Accelerator() = default;
    Accelerator(const Accelerator&) = delete;
    Accelerator& operator=(const Accelerator&) = delete;
    ~Accelerator() {
        if (model) CVI_NN_CleanupModel(model);
    }

    Exit load(const char* path) {
        if (CVI_NN_RegisterModel(path, &model) != 0)
            return fail(FAILED, "%s cannot be loaded: is it compiled for the %s? A cviruntime older than the compiler "
                        "cannot load it: update it", path, model::soc);
        if (CVI_NN_GetInputOutputTensors(model, &inputs, &input_count, &outputs, &output_count) != 0)
            return fail(FAILED, "%s: its tensors cannot be had", path);
        if (input_count != 1) return fail(FAILED, "%s does not take one picture", path);
        bool real = inputs[0].fmt == CVI_FMT_FP32;
        for (int32_t i = 0; i < output_count; i++) real = real && outputs[i].fmt == CVI_FMT_FP32;
        return real ? DONE : fail(FAILED, "%s has inputs or outputs that are not float", path);
    }

    Exit run(const std::vector<float>& input, Results& results) {
        if (CVI_NN_TensorCount(&inputs[0]) != input.size())
            return fail(FAILED, "the network takes %zu numbers, a picture has %zu", CVI_NN_TensorCount(&inputs[0]),
                        input.size());
        memcpy(CVI_NN_TensorPtr(&inputs[0]), input.data(), input.size() * sizeof(float));
        if (CVI_NN_Forward(model, inputs, input_count, outputs, output_count) != 0)
            return fail(FAILED, "CVI_NN_Forward failed");
        for (int32_t i = 0; i < output_count; i++) {
            const float* values = static_cast<const float*>(CVI_NN_TensorPtr(&outputs[i]));
            results.push_back({CVI_NN_TensorName(&outputs[i]),
                               std::vector<float>(values, values + CVI_NN_TensorCount(&outputs[i]))});
        }
        return DONE;
    }
};
