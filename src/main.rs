//! The `autotune` program: see [`autotune::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    autotune::cli::main()
}
