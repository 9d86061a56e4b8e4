// Loads the one CPU module that LLAMA_BENCH_MODULE names.
#include <cstdio>
#include <cstdlib>

#undef ggml_backend_load_all
#include "ggml-backend.h"

extern "C" void load_one_module(void) {
    const char * path = std::getenv("LLAMA_BENCH_MODULE");
    if (path == nullptr || ggml_backend_load(path) == nullptr) {
        std::fprintf(stderr, "LLAMA_BENCH_MODULE names no module that loads\n");
        std::exit(1);
    }
}
