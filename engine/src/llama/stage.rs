//! How far a job has come, for whoever wants to be there: the tests of faults have no other way
//! into the middle of a load or a computation.

use std::sync::OnceLock;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// llama.cpp is about to load a model.
    Load,
    /// llama.cpp is about to make a context.
    Context,
    /// llama.cpp is about to compute tokens.
    Compute,
}

static OBSERVER: OnceLock<fn(Stage)> = OnceLock::new();

/// Has a function called before each stage, once per process. The program itself never does.
pub fn observe(observer: fn(Stage)) {
    let _ = OBSERVER.set(observer);
}

/// Says what comes next.
pub(super) fn reached(stage: Stage) {
    if let Some(observer) = OBSERVER.get() {
        observer(stage);
    }
}
