// llama.cpp's calls that may throw, with the exception turned into a code: an exception that
// reaches Rust ends the process without a word.

#include "llama.h"

#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>

namespace {

constexpr int32_t out_of_memory = -1000;
constexpr int32_t exception     = -1001;

template <typename Call> int32_t guarded(char * message, size_t capacity, Call call) {
    try {
        return call();
    } catch (const std::bad_alloc & error) {
        std::snprintf(message, capacity, "%s", error.what());
        return out_of_memory;
    } catch (const std::exception & error) {
        std::snprintf(message, capacity, "%s", error.what());
        return exception;
    } catch (...) {
        std::snprintf(message, capacity, "an exception of unknown type");
        return exception;
    }
}

}  // namespace

extern "C" {

int32_t autotune_decode(llama_context * ctx, llama_batch batch, char * message, size_t capacity) {
    return guarded(message, capacity, [&] { return llama_decode(ctx, batch); });
}

// Some vocabularies throw for text that none of their tokens covers.
int32_t autotune_tokenize(const llama_vocab * vocab, const char * text, int32_t length, llama_token * tokens,
                          int32_t capacity) {
    try {
        return llama_tokenize(vocab, text, length, tokens, capacity, false, false);
    } catch (...) {
        return INT32_MIN;
    }
}

int32_t autotune_synchronize(llama_context * ctx, char * message, size_t capacity) {
    return guarded(message, capacity, [&] {
        llama_synchronize(ctx);
        return 0;
    });
}

}
