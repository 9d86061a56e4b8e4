// Where the last graph was computed: llama.cpp's C API has no way to ask its scheduler.

#include "ggml-backend.h"
#include "llama-context.h"
#include "llama-graph.h"
#include "llama.h"

#include <cstdlib>
#include <cstring>
#include <map>

extern "C" {

struct autotune_graph {
    // Pieces that went to one backend each.
    int32_t splits;
    // Layers most of whose products were computed on a device.
    int32_t layers_on_devices;
    // Of those, layers whose attention was computed by the processor.
    int32_t attention_left_behind;
    // Whether the logits were computed on a device.
    bool output_on_device;
};

bool autotune_last_graph(llama_context * ctx, autotune_graph * out);
}

namespace {

// The last graph is a private matter of the context. An explicit instantiation may name it, as the
// standard has it; a version of llama.cpp without it does not compile.
llm_graph_result * last_result(llama_context & ctx);

template <auto member> struct opened {
    friend llm_graph_result * last_result(llama_context & ctx) { return (ctx.*member)(); }
};

template struct opened<&llama_context::get_gf_res_prev>;

struct layer {
    int  products           = 0;
    int  products_on_device = 0;
    bool attention_on_host  = false;
};

bool is_on_device(ggml_backend_sched_t sched, ggml_tensor * node) {
    ggml_backend_t backend = ggml_backend_sched_get_tensor_backend(sched, node);
    if (backend == nullptr) {
        return false;
    }
    switch (ggml_backend_dev_type(ggml_backend_get_device(backend))) {
        case GGML_BACKEND_DEVICE_TYPE_GPU:
        case GGML_BACKEND_DEVICE_TYPE_IGPU:
            return true;
        default:
            return false;
    }
}

// llama.cpp names the results of a layer `what-NUMBER`.
int layer_of(const ggml_tensor * node) {
    const char * dash = std::strrchr(node->name, '-');
    if (dash == nullptr || dash[1] < '0' || dash[1] > '9') {
        return -1;
    }
    return std::atoi(dash + 1);
}

}  // namespace

// Returns whether there is a graph that still has its places.
bool autotune_last_graph(llama_context * ctx, autotune_graph * out) {
    try {
        ggml_backend_sched_t sched  = ctx->get_sched();
        llm_graph_result *   result = last_result(*ctx);
        if (sched == nullptr || result == nullptr || result->get_gf() == nullptr) {
            return false;
        }
        ggml_cgraph *        graph = result->get_gf();
        std::map<int, layer> layers;
        int                  last  = -1;
        *out = { ggml_backend_sched_get_n_splits(sched), 0, 0, false };
        for (int i = 0; i < ggml_graph_n_nodes(graph); i++) {
            ggml_tensor * node   = ggml_graph_node(graph, i);
            const bool    device = is_on_device(sched, node);
            if (std::strcmp(node->name, "result_output") == 0) {
                out->output_on_device = device;
            }
            const int number = layer_of(node);
            // Flash attention has no name; its queries, which have one, come before it.
            last = number >= 0 ? number : last;
            if (node->op == GGML_OP_FLASH_ATTN_EXT && last >= 0) {
                layers[last].attention_on_host |= !device;
            } else if (node->op == GGML_OP_SOFT_MAX && std::strncmp(node->name, "kq_soft_max-", 12) == 0) {
                layers[number].attention_on_host |= !device;
            } else if (node->op == GGML_OP_MUL_MAT && number >= 0) {
                layers[number].products++;
                layers[number].products_on_device += device ? 1 : 0;
            }
        }
        for (const auto & [number, own] : layers) {
            if (2 * own.products_on_device > own.products) {
                out->layers_on_devices++;
                out->attention_left_behind += own.attention_on_host ? 1 : 0;
            }
        }
        return true;
    } catch (...) {
        return false;
    }
}
