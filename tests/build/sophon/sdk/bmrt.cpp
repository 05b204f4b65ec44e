#include <cstdlib>
#include <cstring>

#include "bmruntime_interface.h"

#include "fake.h"

static bm_shape_t inputs[] = {{4, {1, 3, 2, 2}}};
static bm_shape_t outputs[] = {{2, {1, 4}}, {4, {1, 3, 2, 2}}};
static bm_stage_info_t stage = {inputs, outputs, nullptr, nullptr};
static bm_data_type_t types[] = {BM_FLOAT32, BM_FLOAT32};
static const char* input_names[] = {"images"};
static float scales[] = {1, 1};
static bm_net_info_t network = {"net", false, 1, input_names, types, scales, 2, const_cast<const char**>(names), types,
                                scales, 1, &stage};

bm_status_t bm_dev_request(bm_handle_t* handle, int) {
    *handle = reinterpret_cast<bm_handle_t>(malloc(1));
    return BM_SUCCESS;
}
void bm_dev_free(bm_handle_t handle) { free(handle); }
bm_status_t bm_thread_sync(bm_handle_t) { return BM_SUCCESS; }
void* bmrt_create(bm_handle_t) { return malloc(1); }
void bmrt_destroy(void* runtime) { free(runtime); }
bool bmrt_load_bmodel(void*, const char* path) { return !strstr(path, "newer"); }
void bmrt_get_network_names(void*, const char*** found) {
    *found = static_cast<const char**>(malloc(sizeof(char*)));
    **found = network.name;
}
const bm_net_info_t* bmrt_get_network_info(void*, const char*) { return &network; }
bool bmrt_launch_data(void*, const char*, void* const input[], const bm_shape_t[], int, void* output[], bm_shape_t[],
                      int, bool) {
    compute(static_cast<const float*>(input[0]), static_cast<float*>(output[0]), static_cast<float*>(output[1]));
    return true;
}
