#include <cstring>

#include "cviruntime.h"

#include "fake.h"

static float input[12], scores[4], joined[12];
static CVI_TENSOR inputs[1], outputs[2];

static void fill(CVI_TENSOR& tensor, const char* name, float* values, size_t count) {
    tensor = CVI_TENSOR();
    tensor.name = const_cast<char*>(name);
    tensor.fmt = CVI_FMT_FP32;
    tensor.count = count;
    tensor.sys_mem = reinterpret_cast<uint8_t*>(values);
}

int CVI_NN_RegisterModel(const char* path, CVI_MODEL_HANDLE* model) {
    *model = inputs;
    return strstr(path, "newer") ? 1 : 0;
}
int CVI_NN_GetInputOutputTensors(CVI_MODEL_HANDLE, CVI_TENSOR** in, int32_t* in_num, CVI_TENSOR** out,
                                 int32_t* out_num) {
    fill(inputs[0], "images", input, 12);
    fill(outputs[0], names[0], scores, 4);
    fill(outputs[1], names[1], joined, 12);
    *in = inputs, *in_num = 1, *out = outputs, *out_num = 2;
    return 0;
}
int CVI_NN_Forward(CVI_MODEL_HANDLE, CVI_TENSOR[], int32_t, CVI_TENSOR[], int32_t) {
    compute(input, scores, joined);
    return 0;
}
int CVI_NN_CleanupModel(CVI_MODEL_HANDLE) { return 0; }
char* CVI_NN_TensorName(CVI_TENSOR* tensor) { return tensor->name; }
void* CVI_NN_TensorPtr(CVI_TENSOR* tensor) { return tensor->sys_mem; }
size_t CVI_NN_TensorCount(CVI_TENSOR* tensor) { return tensor->count; }
