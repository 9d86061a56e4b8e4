//! llama.cpp as an engine that can be asked, measured and survived.
//!
//! [`api`] holds the nouns every engine speaks: settings, jobs, runs, failures. Four engines
//! speak them: [`llama`] (llama.cpp in this process), [`worker`] (the same in a child process,
//! whose death is an answer), [`sim`] (a machine made of formulas and seeded noise) and [`replay`] (what
//! was measured once, again).
//!
//! [`counters`] and [`samples`] watch what runs.
//!
//! What to run, how often and what the times mean is left to the `autotune` package.

pub mod api;
pub mod counters;
pub mod kernels;
pub mod llama;
pub mod probe;
pub mod replay;
pub mod samples;
pub mod sim;
pub mod worker;
