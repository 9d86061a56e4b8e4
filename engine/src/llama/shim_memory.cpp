// Memory by buffer type as a flat list: llama.cpp returns a C++ map, which bindgen cannot express.

#include "llama-ext.h"
#include "llama.h"

extern "C" {

struct autotune_buffer_use {
    const char * name;
    uint64_t     model;
    uint64_t     context;
    uint64_t     compute;
    // Name of the device whose own memory it is; null: main memory.
    const char * device;
    // Whether the processor's kernels can map it from the model's file.
    bool         mappable;
};

static const char * device_of(ggml_backend_buffer_type_t buft) {
    // Buffer types of the CPU have no device in some versions; pinned ones name a card.
    ggml_backend_dev_t dev = ggml_backend_buft_get_device(buft);
    if (dev == nullptr || ggml_backend_buft_is_host(buft)) {
        return nullptr;
    }
    switch (ggml_backend_dev_type(dev)) {
        case GGML_BACKEND_DEVICE_TYPE_GPU:
        case GGML_BACKEND_DEVICE_TYPE_IGPU:
            return ggml_backend_dev_name(dev);
        default:
            return nullptr;
    }
}

// Writes at most `capacity` entries and returns how many there are, or -1 if an exception fell.
// The names belong to the buffer types and outlive the context.
int32_t autotune_memory_breakdown(const llama_context * ctx, autotune_buffer_use * out, int32_t capacity) {
    try {
        int32_t count = 0;
        for (const auto & [buft, data] : llama_get_memory_breakdown(ctx)) {
            if (count < capacity) {
                out[count] = { ggml_backend_buft_name(buft), data.model,     data.context,
                               data.compute,                 device_of(buft), ggml_backend_buft_is_host(buft) };
            }
            count++;
        }
        return count;
    } catch (...) {
        return -1;
    }
}

}
