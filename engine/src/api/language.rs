//! What a model says rather than how fast: text to tokens, how likely a text is, how far one model's
//! answers are from another's, what matters in its weights, and the files of other quantizations.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Failure, ProcessSetting, Setting};

/// A number of the vocabulary.
pub type Token = i32;

/// Answers questions about language. llama.cpp does, in a child process; tests have others.
pub trait Language {
    /// The tokens of a text as llama-perplexity has them: the vocabulary's own token for a
    /// beginning is added, and none is read from the text.
    fn tokenize(&mut self, model: &Path, text: &str) -> Result<Tokenized, Failure>;

    /// How likely each token of the chunks is, and how far candidates are from the reference.
    fn score(&mut self, job: &ScoreJob, deadline: Duration) -> Result<Scores, Failure>;

    /// What the model goes on with after each prompt.
    fn continue_text(
        &mut self,
        job: &ContinueJob,
        deadline: Duration,
    ) -> Result<Vec<Continuation>, Failure>;

    /// Adds chunks to an importance matrix, which the worker keeps, and may write it.
    fn importance(
        &mut self,
        job: &ImportanceJob,
        deadline: Duration,
    ) -> Result<ImportanceUse, Failure>;

    /// Writes another quantization of a model, or tells what it would be.
    fn quantize(&mut self, job: &QuantizeJob, deadline: Duration) -> Result<Quantized, Failure>;

    /// What each tensor loses in each type, without running the model.
    fn rounding(
        &mut self,
        job: &RoundingJob,
        deadline: Duration,
    ) -> Result<Vec<TensorRounding>, Failure>;
}

/// A text as a model reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokenized {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Tokens that the vocabulary has.
    pub vocabulary: u32,
    /// The token that begins a text, where the vocabulary adds one.
    pub beginning: Option<Token>,
    /// The context that the model was trained with.
    pub trained_context: u32,
}

/// A model under a setting that speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speaker {
    /// The GGUF file.
    pub model: PathBuf,
    /// Its setting. All speakers of a job share the process.
    pub setting: Setting,
}

/// Where the reference's answers come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// It is asked in the same breath as the candidates.
    Live(Box<Speaker>),
    /// It was asked before: a file with what it said of exactly these chunks.
    Stored(PathBuf),
}

/// Chunks of tokens to be scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreJob {
    /// What all candidates are compared with.
    pub reference: Reference,
    /// Where what the reference says is kept for later jobs.
    pub store: Option<PathBuf>,
    /// What is compared with it; they are loaded side by side.
    pub candidates: Vec<Speaker>,
    /// The chunks, each at most as long as the contexts; the first token is the model's own
    /// beginning where it has one.
    pub chunks: Vec<Vec<Token>>,
    /// Tokens at the start of a chunk that are read, and whose successors are not scored.
    pub from: u32,
}

/// What was found of each chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Negative log likelihood of each scored token under the reference, chunk by chunk, in nats.
    pub reference_nll: Vec<Vec<f64>>,
    /// The candidates in the order of the job.
    pub candidates: Vec<Vec<ChunkScore>>,
}

/// One candidate on one chunk, a number for each scored token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChunkScore {
    /// Negative log likelihood, in nats.
    pub nll: Vec<f64>,
    /// Kullback-Leibler divergence of the candidate from the reference, in nats.
    pub divergence: Vec<f64>,
    /// Whether both have the same likeliest token.
    pub same_top: Vec<bool>,
}

/// Prompts to be continued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContinueJob {
    /// Who goes on.
    pub speaker: Speaker,
    /// What stands before.
    pub prompts: Vec<Vec<Token>>,
    /// Tokens to add to each.
    pub tokens: u32,
    /// Seed of drawing from the model's own distribution; `None` takes the likeliest token.
    pub seed: Option<u64>,
    /// Whether an end of the text ends it, or the next likeliest token is taken.
    pub stop_at_end: bool,
}

/// What a model added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The same as text.
    pub text: String,
}

/// Chunks to be added to an importance matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportanceJob {
    /// Whose weights.
    pub speaker: Speaker,
    /// Begins anew, with what such a file holds.
    pub begin: Option<Vec<PathBuf>>,
    /// The chunks.
    pub chunks: Vec<Vec<Token>>,
    /// Whether the output layer is looked at, too.
    pub output_tensor: bool,
    /// Where it is written afterwards.
    pub write: Option<ImportanceFile>,
}

/// An importance matrix's file, in llama.cpp's own format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportanceFile {
    /// The file; it is replaced.
    pub path: PathBuf,
    /// Names of the texts.
    pub datasets: Vec<String>,
    /// Tokens of a chunk.
    pub chunk_tokens: u32,
}

/// How far an importance matrix is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportanceUse {
    /// Chunks in it.
    pub chunks: u32,
    /// Tensors in it.
    pub tensors: u32,
    /// Experts that no token chose so far, in all tensors.
    pub silent_experts: u32,
}

/// A quantization to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantizeJob {
    /// The model, the first file of a split one.
    pub source: PathBuf,
    /// The file to write; `None` only tells what it would be.
    pub target: Option<PathBuf>,
    /// llama.cpp's number of the file type.
    pub file_type: u32,
    /// The importance matrix.
    pub importance: Option<PathBuf>,
    /// Types of single tensors by their whole names, by ggml's numbers.
    pub types: Vec<(String, u32)>,
    /// Texts that the file's metadata get beside the source's: keys and values of at most 127 bytes.
    pub metadata: Vec<(String, String)>,
    /// Whether a source that is quantized already is taken.
    pub requantize: bool,
    /// Whether a split source stays split.
    pub keep_split: bool,
    /// Threads; 0: one for each CPU.
    pub threads: u32,
}

/// What a quantization is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantized {
    /// ggml's name of each tensor's type, in the source's order, of a dry run. A file that was
    /// written says it itself.
    pub tensors: Vec<(String, String)>,
    /// What llama.cpp warned of.
    pub warnings: Vec<String>,
}

/// Tensors and types to be tried on each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundingJob {
    /// The model, not quantized.
    pub model: PathBuf,
    /// The importance matrix.
    pub importance: Option<PathBuf>,
    /// Tensors by name.
    pub tensors: Vec<String>,
    /// Types by ggml's numbers.
    pub types: Vec<u32>,
    /// Rows of each tensor that are tried at most, spread over it; 0: all.
    pub rows: u32,
}

/// One tensor in each type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorRounding {
    /// Its name.
    pub tensor: String,
    /// Weighted squared error over weighted square, one for each type of the job; `None` where its
    /// rows do not fit the type.
    pub relative_error: Vec<Option<f64>>,
}

impl ScoreJob {
    /// The process of all its speakers; `None` where they differ, or there is none.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessSetting> {
        let live = match &self.reference {
            Reference::Live(speaker) => Some(&**speaker),
            Reference::Stored(_) => None,
        };
        let mut all = live.into_iter().chain(&self.candidates).map(|it| &it.setting.process);
        let first = all.next()?;
        all.all(|other| other == first).then_some(first)
    }
}
