// As much of cviruntime's published interface as the board program uses, in its layout.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

typedef enum { CVI_FMT_FP32 = 0, CVI_FMT_INT8 = 6 } CVI_FMT;
typedef struct {
    int32_t dim[6];
    size_t dim_size;
} CVI_SHAPE;
typedef struct {
    char* name;
    CVI_SHAPE shape;
    CVI_FMT fmt;
    size_t count;
    size_t mem_size;
    uint8_t* sys_mem;
    uint64_t paddr;
    int mem_type;
    float qscale;
    int zero_point;
    int pixel_format;
    bool aligned;
    float mean[3];
    float scale[3];
    void* owner;
    char reserved[32];
} CVI_TENSOR;
typedef void* CVI_MODEL_HANDLE;

int CVI_NN_RegisterModel(const char* path, CVI_MODEL_HANDLE* model);
int CVI_NN_GetInputOutputTensors(CVI_MODEL_HANDLE model, CVI_TENSOR** inputs, int32_t* input_num, CVI_TENSOR** outputs,
                                 int32_t* output_num);
int CVI_NN_Forward(CVI_MODEL_HANDLE model, CVI_TENSOR inputs[], int32_t input_num, CVI_TENSOR outputs[],
                   int32_t output_num);
int CVI_NN_CleanupModel(CVI_MODEL_HANDLE model);
char* CVI_NN_TensorName(CVI_TENSOR* tensor);
void* CVI_NN_TensorPtr(CVI_TENSOR* tensor);
size_t CVI_NN_TensorCount(CVI_TENSOR* tensor);
}
