//! The loop with models made of formulas.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use autotune_engine::api::{
    ChunkScore, Clock, Continuation, ContinueJob, Failure, Identity, ImportanceJob, ImportanceUse,
    Language, QuantizeJob, Quantized, Reference, RoundingJob, ScoreJob, Scores, Speaker,
    TensorRounding, Threading, Token, Tokenized,
};

use super::*;

use crate::model::QualityStop;
use crate::store::ResultCache;

/// A candidate named `0.03` is at that distance, and a little more on every other chunk.
#[derive(Debug, Default)]
struct Formula {
    jobs: usize,
    stored: Vec<PathBuf>,
    fails_at: Option<usize>,
}

fn distance(model: &Path) -> f64 {
    model.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(0.0)
}

impl Language for Formula {
    fn tokenize(&mut self, model: &Path, text: &str) -> Result<Tokenized, Failure> {
        let other = i32::from(model.ends_with("other.gguf"));
        let tokens = text.bytes().map(|byte| Token::from(byte) + other).collect();
        Ok(Tokenized { tokens, vocabulary: 256, beginning: Some(0), trained_context: 512 })
    }

    fn score(&mut self, job: &ScoreJob, _: Duration) -> Result<Scores, Failure> {
        self.jobs += 1;
        if self.fails_at == Some(self.jobs) {
            return Err(Failure::Invalid { reason: "a NaN".into() });
        }
        if let Some(path) = &job.store {
            std::fs::write(path, "base").map_err(|error| Failure::refused(error.to_string()))?;
            self.stored.push(path.clone());
        }
        if let Reference::Stored(path) = &job.reference {
            assert!(path.exists() && job.candidates.len() == 1);
        }
        let scored = |chunk: &[Token]| chunk.len() - 1 - job.from as usize;
        let hard = |chunk: &[Token]| f64::from(chunk[1] % 5) / 10.0;
        let score = |chunk: &[Token], distance: f64| ChunkScore {
            nll: vec![2.0 + hard(chunk) + distance; scored(chunk)],
            divergence: vec![distance * (1.0 + hard(chunk) / 10.0); scored(chunk)],
            same_top: vec![distance < 0.1; scored(chunk)],
        };
        let reference = job.chunks.iter().map(|chunk| vec![2.0 + hard(chunk); scored(chunk)]);
        let of_all = |it: &Speaker| {
            job.chunks.iter().map(|chunk| score(chunk, distance(&it.model))).collect()
        };
        Ok(Scores {
            reference_nll: reference.collect(),
            candidates: job.candidates.iter().map(of_all).collect(),
        })
    }

    fn continue_text(
        &mut self,
        _: &ContinueJob,
        _: Duration,
    ) -> Result<Vec<Continuation>, Failure> {
        Err(Failure::refused("it does not speak"))
    }

    fn importance(&mut self, _: &ImportanceJob, _: Duration) -> Result<ImportanceUse, Failure> {
        Err(Failure::refused("nothing matters to it"))
    }

    fn quantize(&mut self, _: &QuantizeJob, _: Duration) -> Result<Quantized, Failure> {
        Err(Failure::refused("it has no weights"))
    }

    fn rounding(&mut self, _: &RoundingJob, _: Duration) -> Result<Vec<TensorRounding>, Failure> {
        Err(Failure::refused("it has no weights"))
    }
}

#[derive(Debug, Default)]
struct Seconds(Cell<u64>);

impl Clock for Seconds {
    fn now(&self) -> Duration {
        self.0.set(self.0.get() + 1);
        Duration::from_secs(self.0.get())
    }
}

fn identity() -> Identity {
    Identity {
        name: "formula".into(),
        version: "1".into(),
        ggml_version: "1".into(),
        binding_version: "1".into(),
        threading: Threading::Ggml,
        synthetic: true,
    }
}

fn candidate(name: &str) -> Candidate {
    Candidate {
        name: name.to_owned(),
        model: format!("/models/{name}.gguf").into(),
        bytes: 100,
        digest: name.to_owned(),
        setting: speaking(2, 512, &Speech::default()),
    }
}

fn asked(candidates: &[&str], chunks: u8) -> Asked {
    Asked {
        reference: candidate("reference"),
        candidates: candidates.iter().map(|name| candidate(name)).collect(),
        chunks: (0..chunks).map(|chunk| vec![Token::from(chunk); 9]).collect(),
        from: 4,
        most: None,
        budget: None,
        fit: Fit { basis: Basis::Auto, free_bytes: None, folder: std::env::temp_dir() },
    }
}

fn run(engine: &mut Formula, asked: &Asked) -> Result<Appraised, AppraiseError> {
    let clock = Seconds::default();
    let go = AtomicBool::new(false);
    appraise(engine, &identity(), &clock, asked, None, &go, &mut |_| {})
}

#[test]
fn reading_ends_when_everything_is_told_apart() {
    let mut engine = Formula::default();
    let found = run(&mut engine, &asked(&["0.005", "0.03"], 100)).unwrap();
    assert_eq!((found.stopped, found.open), (QualityStop::Separated, None));
    // A job for each chunk; the reference against itself is in the first.
    assert_eq!((found.candidates[0].chunks(), engine.jobs), (16, 16));
    let noise = found.noise.unwrap().noise_floor().unwrap();
    assert_eq!((noise.kl_divergence, noise.top1_agreement, noise.tokens), (0.0, 1.0, 4));
}

#[test]
fn what_is_on_the_edge_of_a_class_is_read_to_the_end() {
    let found = run(&mut Formula::default(), &asked(&["0.01176"], 40)).unwrap();
    assert_eq!(found.stopped, QualityStop::TextEnded);
    assert_eq!(found.candidates[0].chunks(), 40);
    assert!(found.open.unwrap().contains("near-lossless"));
}

#[test]
fn as_many_chunks_as_asked_for_and_no_more_than_there_are() {
    let mut wish = asked(&["0.01176"], 40);
    wish.most = Some(5);
    let found = run(&mut Formula::default(), &wish).unwrap();
    assert_eq!((found.stopped, found.candidates[0].chunks()), (QualityStop::Asked, 5));
    wish.most = Some(50);
    let found = run(&mut Formula::default(), &wish).unwrap();
    assert_eq!((found.stopped, found.candidates[0].chunks()), (QualityStop::TextEnded, 40));
}

#[test]
fn the_time_ends_it_after_two_chunks_at_the_earliest() {
    let mut wish = asked(&["0.01176"], 40);
    wish.budget = Some(Duration::from_secs(1));
    let found = run(&mut Formula::default(), &wish).unwrap();
    assert_eq!((found.stopped, found.candidates[0].chunks()), (QualityStop::Budget, 2));
}

#[test]
fn without_memory_for_both_the_reference_goes_through_a_file_that_goes_away() {
    let mut wish = asked(&["0.005", "0.03"], 20);
    wish.fit.free_bytes = Some(150);
    let mut engine = Formula::default();
    let found = run(&mut engine, &wish).unwrap();
    assert!(found.through_a_file && !engine.stored.is_empty());
    assert!(engine.stored.iter().all(|path| !path.exists()));
    assert_eq!(found.candidates[1].mean_divergence().unwrap().clusters, 16);
    // The chunks of the first look of the reference and of both, and the reference itself.
    assert_eq!(engine.jobs, 5);
    let side_by_side = run(&mut Formula::default(), &asked(&["0.005", "0.03"], 20)).unwrap();
    assert_eq!(found.candidates, side_by_side.candidates);
}

#[test]
fn candidates_that_take_turns_read_several_chunks_each_time() {
    let mut wish = asked(&["0.005", "0.03"], 20);
    // Eight tenths of it hold the reference and one of them.
    wish.fit.free_bytes = Some(300);
    let mut engine = Formula::default();
    let found = run(&mut engine, &wish).unwrap();
    assert_eq!((found.through_a_file, engine.jobs), (false, 3));
    let together = run(&mut Formula::default(), &asked(&["0.005", "0.03"], 20)).unwrap();
    assert_eq!(found.candidates, together.candidates);
}

#[test]
fn alone_a_model_is_read_to_the_end_of_the_text() {
    let mut engine = Formula::default();
    let found = run(&mut engine, &asked(&[], 7)).unwrap();
    assert_eq!((found.reference_nll.len(), engine.jobs), (7, 7));
    assert_eq!((found.stopped, found.noise), (QualityStop::TextEnded, None));
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = ResultCache::of_kind(folder.path(), Kept::SCHEMA).unwrap();
    let clock = Seconds::default();
    let stop = AtomicBool::new(false);
    let wish = asked(&["0.005", "0.03"], 100);
    let mut engine = Formula::default();
    let mut cut = |looking: Looking<'_>| {
        stop.store(looking.done == 3, std::sync::atomic::Ordering::Relaxed);
    };
    let found =
        appraise(&mut engine, &identity(), &clock, &wish, Some(&mut cache), &stop, &mut cut)
            .unwrap();
    assert_eq!((found.stopped, found.candidates[0].chunks()), (QualityStop::Interrupted, 3));
    let go = AtomicBool::new(false);
    let mut again = Formula::default();
    let found =
        appraise(&mut again, &identity(), &clock, &wish, Some(&mut cache), &go, &mut |_| {})
            .unwrap();
    assert_eq!((found.candidates[0].chunks(), again.jobs), (16, 13));
    // Two candidates of three chunks, and the reference itself.
    assert_eq!(found.from_cache, 7);
}

#[test]
fn a_failure_names_the_chunk() {
    let mut engine = Formula { fails_at: Some(2), ..Formula::default() };
    let error = run(&mut engine, &asked(&["0.03"], 20)).unwrap_err();
    assert_eq!(error.to_string(), "cannot score chunk 2");
}

#[test]
fn another_tokenizer_is_named_with_the_place() {
    let models = ["/m/a.gguf", "/m/b.gguf", "/m/other.gguf"].map(PathBuf::from);
    let mut engine = Formula::default();
    assert_eq!(tokenize_alike(&mut engine, &models[..2], "some text").unwrap().tokens.len(), 9);
    let error = tokenize_alike(&mut engine, &models, "some text").unwrap_err().to_string();
    let wanted = "/m/other.gguf reads the text differently than /m/a.gguf: from token 0 on its \
                  tokens are others";
    assert_eq!(error, wanted);
}
