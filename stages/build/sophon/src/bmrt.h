// A .bmodel on libsophon's BMRuntime.
#pragma once

#include "bmruntime_interface.h"

struct Accelerator {
    bm_handle_t device = nullptr;
    void* runtime = nullptr;
    const bm_net_info_t* network = nullptr;

    Accelerator() = default;
    Accelerator(const Accelerator&) = delete;
    Accelerator& operator=(const Accelerator&) = delete;
    ~Accelerator() {
        if (runtime) bmrt_destroy(runtime);
        if (device) bm_dev_free(device);
    }

    Exit load(const char* path) {
        if (bm_dev_request(&device, 0) != BM_SUCCESS)
            return fail(FAILED, "the device cannot be opened: is libsophon's driver loaded?");
        runtime = bmrt_create(device);
        if (!runtime) return fail(FAILED, "bmrt_create failed");
        if (!bmrt_load_bmodel(runtime, path))
            return fail(FAILED, "%s cannot be loaded: is it compiled for the %s? A libsophon older than the compiler "
                        "cannot load it: update it", path, model::soc);
        const char** names = nullptr;
        bmrt_get_network_names(runtime, &names);
        if (!names) return fail(FAILED, "%s holds no network", path);
        network = bmrt_get_network_info(runtime, names[0]);
        free(names);
        if (!network || network->input_num != 1) return fail(FAILED, "%s does not take one picture", path);
        bool real = network->input_dtypes[0] == BM_FLOAT32;
        for (int i = 0; i < network->output_num; i++) real = real && network->output_dtypes[i] == BM_FLOAT32;
        return real ? DONE : fail(FAILED, "%s has inputs or outputs that are not float", path);
    }

    Exit run(const std::vector<float>& input, Results& results) {
        const bm_stage_info_t& stage = network->stages[0];
        size_t wanted = 1;
        for (int i = 0; i < stage.input_shapes[0].num_dims; i++) wanted *= stage.input_shapes[0].dims[i];
        if (wanted != input.size())
            return fail(FAILED, "the network takes %zu numbers, a picture has %zu", wanted, input.size());
        std::vector<void*> outputs;
        std::vector<bm_shape_t> shapes(network->output_num);
        for (int i = 0; i < network->output_num; i++) {
            size_t count = 1;
            for (int k = 0; k < stage.output_shapes[i].num_dims; k++) count *= stage.output_shapes[i].dims[k];
            results.push_back({network->output_names[i], std::vector<float>(count)});
        }
        for (Result& result : results) outputs.push_back(result.values.data());
        void* inputs[] = {const_cast<float*>(input.data())};
        if (!bmrt_launch_data(runtime, network->name, inputs, stage.input_shapes, 1, outputs.data(), shapes.data(),
                              network->output_num, true))
            return fail(FAILED, "bmrt_launch_data failed");
        return bm_thread_sync(device) == BM_SUCCESS ? DONE : fail(FAILED, "bm_thread_sync failed");
    }
};
