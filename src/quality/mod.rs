//! From numbers of tokens to what they say of candidates: how far each is from its reference,
//! whether enough was read to tell, which are on the front, and which one to take.
//!
//! Pure: [`Accumulated`] gathers chunk after chunk, [`enough`] says whether to read on, [`front`]
//! keeps what nothing else beats, [`choose`] takes one of them and says why. Asking models is left
//! to the engine, the order of the questions to the command, standard errors to `stats`.

mod choice;
#[cfg(test)]
mod choice_tests;
mod enough;
mod error;
mod estimate;
mod front;
#[cfg(test)]
mod front_tests;
#[cfg(test)]
mod tests;
mod words;

pub use choice::{Choice, Contender, NoChoice, Wish, choose};
pub use enough::{Enough, FIRST_CHUNKS, enough};
pub use error::ScoreError;
pub use estimate::{Accumulated, Perplexity, perplexity};
pub use front::{FrontPoint, front};
pub use words::{differing, nats};
