//! The machine document.
