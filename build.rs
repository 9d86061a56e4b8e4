//! Gives the program a run path, so that it finds llama.cpp's libraries wherever it is started
//! from: beside itself in a build, in `lib/autotune` once installed.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let here = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "@loader_path",
        Ok("linux") => "$ORIGIN",
        _ => return,
    };
    // Tests and benchmarks lie in `deps`, which holds the libraries too.
    println!("cargo::rustc-link-arg=-Wl,-rpath,{here}");
    println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{here}/../lib/autotune");
}
