//! ggml's own preference among the CPU variants. It reads what the processor announces, which is
//! not always what it can do: see [`super::self_test`].

use libloading::{Library, Symbol};

use super::modules::Modules;

/// Every variant with its score, best first; 0 means that the processor lacks something.
///
/// Loads every module into this process: ask in one that ends soon.
#[must_use]
pub fn scores(modules: &Modules) -> Vec<(String, i32)> {
    let mut scores: Vec<(String, i32)> = modules
        .variants()
        .map(|variant| {
            let score = modules.variant(variant).map_or(0, |file| score(&file));
            (variant.to_owned(), score)
        })
        .collect();
    scores.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    scores
}

fn score(file: &std::path::Path) -> i32 {
    // SAFETY: the modules are ours, built with this program; what runs on loading them is the
    // construction of their tables, which ggml itself runs for each when it chooses.
    let Ok(library) = (unsafe { Library::new(file) }) else { return 0 };
    // SAFETY: this is the function's type in `ggml-backend-impl.h`.
    let function: Result<Symbol<'_, unsafe extern "C" fn() -> i32>, _> =
        unsafe { library.get(b"ggml_backend_score\0") };
    // SAFETY: takes nothing, and only reads the processor's feature flags. A build with a single
    // variant has no such function, and that variant is the one to use.
    function.map_or(1, |function| unsafe { function() })
}
