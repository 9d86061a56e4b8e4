//! What parent and worker say to each other: one line of JSON each way, numbered, bounded.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::{
    Continuation, ContinueJob, DeviceRates, DeviceReport, Failure, Forecast, Identity,
    ImportanceJob, ImportanceUse, Job, Observed, ProcessSetting, ProfileJob, QuantizeJob,
    Quantized, RoundingJob, Run, ScoreJob, Scores, Setting, TensorRounding, Tokenized,
    VariantVerdict,
};

/// Longest line of either side. The times of a million tokens take about 10 MB.
pub(super) const LONGEST_LINE: usize = 64 << 20;

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Request {
    /// Counts up; the reply repeats it.
    pub(super) id: u64,
    pub(super) ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ask {
    /// Versions and thread pool; needs no module.
    Identity,
    /// Every CPU variant with ggml's score, best first.
    Scores,
    /// Every device of the backends that load, and of those RPC servers.
    Devices { servers: Vec<String> },
    /// The element types of a model file.
    WeightTypes { model: PathBuf },
    /// Start this variant and multiply with it.
    SelfTest { variant: String, weight_types: Vec<String> },
    /// Measure graphics cards, or the CPU device, through their backends.
    DeviceRates { setting: ProcessSetting, processor: bool },
    /// Become a process of this setting.
    Start(ProcessSetting),
    /// Foresee the memory of a model under a setting.
    Forecast { model: PathBuf, setting: Box<Setting> },
    /// Foresee what is reserved under each of several settings of this process.
    Reservations { model: PathBuf, settings: Vec<Setting> },
    /// Do a job.
    Run(Box<Job>),
    /// Do a job under observation.
    Profile(Box<ProfileJob>),
    /// The tokens of a text.
    Tokenize { model: PathBuf, text: String },
    /// Score chunks of a text.
    Score(Box<ScoreJob>),
    /// Go on with prompts.
    Continue(Box<ContinueJob>),
    /// Add chunks to an importance matrix.
    Importance(Box<ImportanceJob>),
    /// Write another quantization, or tell what it would be.
    Quantize(Box<QuantizeJob>),
    /// Round tensors into other types.
    Rounding(Box<RoundingJob>),
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) id: u64,
    pub(super) answer: Result<Answer, Failure>,
}

/// What is answered, one kind for each kind of question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Identity(Identity),
    Scores(Vec<(String, i32)>),
    Devices(Vec<DeviceReport>),
    WeightTypes(Vec<String>),
    SelfTest(VariantVerdict),
    DeviceRates(Vec<DeviceRates>),
    Started,
    Forecast(Box<Forecast>),
    Reservations(Vec<Result<Forecast, Failure>>),
    Run(Box<Run>),
    Profile(Box<Observed>),
    Tokenize(Tokenized),
    Score(Box<Scores>),
    Continue(Vec<Continuation>),
    Importance(ImportanceUse),
    Quantize(Quantized),
    Rounding(Vec<TensorRounding>),
}

/// A line that is none.
#[derive(Debug, Error)]
pub(super) enum LineError {
    #[error("the line cannot be read")]
    Read(#[source] io::Error),
    #[error("the line is longer than {LONGEST_LINE} bytes")]
    TooLong,
    #[error("the line is not ended")]
    Cut,
    #[error("the line is not a message: {0}")]
    Garbage(#[source] serde_json::Error),
}

/// Writes a message as one line.
pub(super) fn write(output: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

/// Reads a message; `None` at the end of the stream.
pub(super) fn read<T: DeserializeOwned>(input: &mut impl BufRead) -> Result<Option<T>, LineError> {
    read_within(input, LONGEST_LINE)
}

fn read_within<T: DeserializeOwned>(
    input: &mut impl BufRead,
    longest: usize,
) -> Result<Option<T>, LineError> {
    let mut line = Vec::new();
    let limit = longest as u64 + 1;
    input.by_ref().take(limit).read_until(b'\n', &mut line).map_err(LineError::Read)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => serde_json::from_slice(&line).map(Some).map_err(LineError::Garbage),
        Some(_) if line.len() == longest => Err(LineError::TooLong),
        Some(_) => Err(LineError::Cut),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_survive_the_line() {
        let request = Request {
            id: 7,
            ask: Ask::SelfTest { variant: "haswell".into(), weight_types: vec!["Q4_K".into()] },
        };
        let reply = Reply { id: 7, answer: Err(Failure::refused("two\nlines")) };
        let mut line = Vec::new();
        write(&mut line, &request).unwrap();
        write(&mut line, &reply).unwrap();
        let mut input = line.as_slice();
        assert_eq!(read::<Request>(&mut input).unwrap(), Some(request));
        assert_eq!(read::<Reply>(&mut input).unwrap(), Some(reply));
        assert!(read::<Reply>(&mut input).unwrap().is_none());
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_without_being_kept() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert!(matches!(read_within::<Reply>(&mut endless, 1000), Err(LineError::TooLong)));
        let mut cut = b"{\"id\":1".as_slice();
        assert!(matches!(read::<Reply>(&mut cut), Err(LineError::Cut)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut input = bytes.as_slice();
            while let Ok(Some(_)) = read_within::<Request>(&mut input, 100) {}
            let mut input = bytes.as_slice();
            while let Ok(Some(_)) = read_within::<Reply>(&mut input, 100) {}
        }

        #[test]
        fn a_reply_with_any_byte_changed_is_read_or_refused(place in 0_usize..200, byte: u8) {
            let reply = Reply { id: 3, answer: Ok(Answer::Scores(vec![("haswell".into(), 64)])) };
            let mut line = Vec::new();
            write(&mut line, &reply).unwrap();
            let place = place % line.len();
            line[place] = byte;
            let _ = read::<Reply>(&mut line.as_slice());
        }
    }
}
