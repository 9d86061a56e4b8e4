//! Any bytes are a header or one line of refusal.
//!
//! `cargo +nightly fuzz run gguf_header -- -rss_limit_mb=512 -max_total_time=60`

#![no_main]

use autotune::gguf::Header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::parse(bytes, bytes.len() as u64) {
        for tensor in &header.tensors {
            assert!(header.data_start + tensor.offset + tensor.bytes <= bytes.len() as u64);
        }
    }
});
