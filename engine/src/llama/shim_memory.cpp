// Memory by buffer type as a flat list: llama.cpp returns a C++ map, which bindgen cannot express.

#include "llama-ext.h"
#include "llama.h"

extern "C" {

struct autotune_buffer_use {
    const char * name;
    uint64_t     model;
    uint64_t     context;
    uint64_t     compute;
};

// Writes at most `capacity` entries and returns how many there are, or -1 if an exception fell.
// The names belong to the buffer types and outlive the context.
int32_t autotune_memory_breakdown(const llama_context * ctx, autotune_buffer_use * out, int32_t capacity) {
    try {
        int32_t count = 0;
        for (const auto & [buft, data] : llama_get_memory_breakdown(ctx)) {
            if (count < capacity) {
                out[count] = { ggml_backend_buft_name(buft), data.model, data.context, data.compute };
            }
            count++;
        }
        return count;
    } catch (...) {
        return -1;
    }
}

}
