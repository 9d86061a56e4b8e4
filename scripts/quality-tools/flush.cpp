// llama.cpp writes its log by a thread of its own, and a tool that returns while lines are waiting
// loses them, results included (https://github.com/ggml-org/llama.cpp/pull/25504). Wait for them.
#include "log.h"

static const struct at_exit {
    ~at_exit() { common_log_pause(common_log_main()); }
} flush;
