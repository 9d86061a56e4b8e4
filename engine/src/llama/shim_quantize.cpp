// The per-tensor types that llama.cpp's quantizer would choose, which the C API does not offer.

#include "llama-ext.h"

#include "ggml.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <vector>

extern "C" {

struct autotune_quantize_tensor {
    const char * name;
    int64_t      axes[4];
};

struct autotune_quantize_model {
    const char * architecture;
    uint32_t     embedding;
    uint32_t     feed_forward;
    uint32_t     layers;
    uint32_t     heads;
    uint32_t     kv_heads;
    uint32_t     experts;
    uint32_t     key_length;
    uint32_t     value_length;
};

// Writes one type per tensor. Returns whether it could; else `message` says why it could not.
bool autotune_quantize_types(const autotune_quantize_model * model, int32_t file_type,
                             const autotune_quantize_tensor * tensors, size_t count, int32_t * types,
                             char * message, size_t message_bytes);
}

namespace {

struct free_context {
    void operator()(ggml_context * context) const { ggml_free(context); }
};

struct free_model {
    void operator()(llama_model * model) const { llama_model_free(model); }
};

struct free_state {
    void operator()(quantize_state_impl * state) const { llama_quant_free(state); }
};

void compute(const autotune_quantize_model & model, int32_t file_type, const autotune_quantize_tensor * tensors,
             size_t count, int32_t * types) {
    const ggml_init_params init = { /* mem_size */ (count + 1) * ggml_tensor_overhead(),
                                    /* mem_buffer */ nullptr, /* no_alloc */ true };
    std::unique_ptr<ggml_context, free_context> context(ggml_init(init));
    if (!context) {
        throw std::bad_alloc();
    }
    std::vector<ggml_tensor *> described;
    described.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        ggml_tensor * tensor = ggml_new_tensor(context.get(), GGML_TYPE_F32, 4, tensors[i].axes);
        ggml_set_name(tensor, tensors[i].name);
        described.push_back(tensor);
    }

    const llama_quant_model_desc description = {
        model.architecture, model.embedding, model.feed_forward, model.layers,     model.heads,
        model.kv_heads,     model.experts,   model.key_length,   model.value_length,
    };
    std::unique_ptr<llama_model, free_model> mock(llama_quant_model_from_metadata(&description));

    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = static_cast<llama_ftype>(file_type);
    std::unique_ptr<quantize_state_impl, free_state> state(llama_quant_init(mock.get(), &params));

    std::vector<ggml_type> chosen(count, GGML_TYPE_F32);
    llama_quant_compute_types(state.get(), params.ftype, described.data(), chosen.data(), count);
    for (size_t i = 0; i < count; ++i) {
        types[i] = static_cast<int32_t>(chosen[i]);
    }
}

}  // namespace

bool autotune_quantize_types(const autotune_quantize_model * model, int32_t file_type,
                             const autotune_quantize_tensor * tensors, size_t count, int32_t * types,
                             char * message, size_t message_bytes) {
    try {
        compute(*model, file_type, tensors, count, types);
        return true;
    } catch (const std::exception & error) {
        snprintf(message, message_bytes, "%s", error.what());
    } catch (...) {
        snprintf(message, message_bytes, "an unknown C++ exception");
    }
    return false;
}
