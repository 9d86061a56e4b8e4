// The version of the RPC protocol, which is a macro of a header that is not bound.

#include "ggml-rpc.h"

#include <cstdint>

extern "C" {

// Major and minor version, in this order.
void autotune_rpc_version(uint8_t * out) {
    out[0] = RPC_PROTO_MAJOR_VERSION;
    out[1] = RPC_PROTO_MINOR_VERSION;
}

}
