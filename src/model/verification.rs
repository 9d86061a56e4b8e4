//! `verification.json`: whether the gain of a run was found again on somebody's own llama-server.

use serde::{Deserialize, Serialize};

use crate::stats::{Change, Estimate};

/// What a llama-server showed of a run's recommendation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// [`Verification::SCHEMA`].
    pub schema: String,
    /// Version of `autotune` that judged.
    pub tool_version: String,
    /// When it ended, RFC 3339 in UTC.
    pub created_at: String,
    /// The command that made it, as typed.
    pub command: String,
    /// Name of the workload.
    pub workload: String,
    /// What was sent, once per turn each.
    pub requests: Vec<SentRequest>,
    /// Whether requests are shorter than the workload's, because its own do not fit the budget.
    pub shortened: bool,
    /// Turns of one visit; a visit's numbers are their medians.
    pub turns: u32,
    /// Speed of the tuned setting over the default one as the run confirmed it; `None` where it
    /// confirmed nothing.
    pub promised: Option<Change>,
    /// The servers: default and tuned, or the one that was running; empty where none was asked.
    pub servers: Vec<Served>,
    /// What they showed.
    pub result: Proof,
    /// The result as one sentence.
    pub sentence: String,
    /// Doubts about the whole, each one sentence.
    pub notes: Vec<String>,
}

impl Verification {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.verification/1";
    /// Pairs below which nothing is said of a gain.
    pub const FEWEST_PAIRS: u32 = 4;
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SentRequest {
    /// Prompt tokens that are processed while the time is taken.
    pub prompt_tokens: u32,
    /// Tokens generated.
    pub generate_tokens: u32,
    /// Tokens put into the KV cache beforehand, untimed.
    pub depth: u32,
    /// Its weight in the mean of a turn.
    pub weight: f64,
}

/// Which of two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The default setting.
    Default,
    /// The tuned setting.
    Tuned,
}

/// One server and its speeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// `default` or `tuned`; `None` where one running server stands alone.
    pub side: Option<Side>,
    /// Program and arguments, without its address; empty where it was running already.
    pub command: Vec<String>,
    /// Variables set for it, as `NAME=value`.
    pub variables: Vec<String>,
    /// Its address; `None` where it was started, at another port each time.
    pub address: Option<String>,
    /// What it says of its own build (`build_info` of `/props`).
    pub build: Option<String>,
    /// Requests sent at once.
    pub parallel: u32,
    /// What of the setting neither flags nor variables could say, one sentence each.
    pub unsaid: Vec<String>,
    /// Seconds of a turn, by the server's own timings; with several requests at once, the wall
    /// clock of all over their number.
    pub turn_s: Option<Estimate>,
    /// Seconds of a turn as the one who asked saw them: transfer and reading of both ends too.
    pub wall_s: Option<Estimate>,
    /// Prompt tokens per second, by the server's own timings.
    pub prefill_tok_per_s: Option<Estimate>,
    /// Generated tokens per second, by the server's own timings.
    pub decode_tok_per_s: Option<Estimate>,
}

/// The medians of one visit to one server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServedVisit {
    /// What the workload wants little of: mostly the seconds of a turn. This is compared.
    pub cost: f64,
    /// Seconds of a turn.
    pub turn_s: f64,
    /// The same by the wall clock of the one who asked.
    pub wall_s: f64,
    /// Prompt tokens per second; `None` without a prompt, or where several requests overlapped.
    pub prefill_tok_per_s: Option<f64>,
    /// Generated tokens per second; `None` without any, or where several requests overlapped.
    pub decode_tok_per_s: Option<f64>,
}

/// A visit to each server, close together in time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServedPair {
    /// Which was visited first.
    pub first: Side,
    /// The server with the default setting.
    pub default: ServedVisit,
    /// The server with the tuned setting.
    pub tuned: ServedVisit,
}

/// What servers showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "there is one in a program")]
pub enum Proof {
    /// Two settings in turn.
    Compared {
        /// What became of the gain.
        transfer: Transfer,
        /// Speed of whole turns, tuned over default.
        turn: Option<Change>,
        /// The same by the wall clock.
        wall: Option<Change>,
        /// Speed of prompts.
        prefill: Option<Change>,
        /// Speed of generation.
        decode: Option<Change>,
        /// The pairs behind it, in order.
        pairs: Vec<ServedPair>,
    },
    /// One running server beside the run's own speeds: no proof of a gain.
    Observed {
        /// Which of them it fits.
        fits: Fits,
        /// Its visits, in order.
        visits: Vec<ServedVisit>,
    },
    /// The run recommends the default setting.
    NothingToProve,
}

/// What became of a gain on another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transfer {
    /// There is a gain, and none that is smaller than what the run confirmed.
    Holds,
    /// There is a gain, below what the run confirmed.
    Smaller,
    /// No gain was found, and one of the confirmed size would have shown.
    Lost,
    /// The tuned setting is slower there.
    Worse,
    /// The interval allows both the gain and none.
    Inconclusive,
}

/// Which of the run's speeds a server fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fits {
    /// That of the default setting alone.
    Default,
    /// That of the tuned setting alone.
    Tuned,
    /// Both: they cannot be told apart here.
    Both,
    /// None of them.
    Neither,
    /// Nothing can be said: the run, or this measurement, has no interval.
    Unknown,
}
