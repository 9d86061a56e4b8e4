//! Every combination of the values asked for, in the order of llama-bench's nested loops, so that
//! a model is loaded as seldom there as here.

use std::path::PathBuf;

use autotune_engine::api::{
    ContextSetting, CpuMask, FlashAttention, GpuLayers, KvType, LoadMode, LoadSetting, Numa,
    Priority, ProcessSetting, Setting, ThreadSetting, Toggle, Work,
};
use thiserror::Error;

/// Tests that one call may ask for.
const MOST_TESTS: usize = 100_000;

/// What was asked for: several values per parameter, one of the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Model files.
    pub models: Vec<PathBuf>,
    /// Build variants of the CPU code; `None` is the best that works.
    pub isa_variants: Vec<Option<String>>,
    /// Layers on the GPU.
    pub gpu_layers: Vec<GpuLayers>,
    /// How the file reaches memory.
    pub load_modes: Vec<LoadMode>,
    /// Logical batches.
    pub batches: Vec<u32>,
    /// Physical batches.
    pub ubatches: Vec<u32>,
    /// Element types of the K cache.
    pub types_k: Vec<KvType>,
    /// Element types of the V cache.
    pub types_v: Vec<KvType>,
    /// Flash attention.
    pub flash_attention: Vec<FlashAttention>,
    /// Threads of both phases.
    pub threads: Vec<u32>,
    /// Threads that process prompts; none: the same as [`Self::threads`].
    pub threads_batch: Vec<u32>,
    /// CPUs the threads may run on.
    pub cpu_masks: Vec<Option<CpuMask>>,
    /// Whether each thread is bound to one CPU.
    pub strict: Vec<Toggle>,
    /// Tokens in the KV cache beforehand.
    pub depths: Vec<u32>,
    /// Spinning before sleep, 0–100.
    pub polls: Vec<u8>,
    /// Prompt lengths of the pp tests; 0 is no test.
    pub prompts: Vec<u32>,
    /// Generated tokens of the tg tests; 0 is no test.
    pub generates: Vec<u32>,
    /// Prompt and generated tokens of the combined tests.
    pub pairs: Vec<(u32, u32)>,
    /// NUMA strategy.
    pub numa: Numa,
    /// Scheduling priority.
    pub priority: Priority,
    /// Timed repetitions per test.
    pub repetitions: u32,
    /// Whether an untimed run precedes them.
    pub warmup: bool,
    /// Pause before each test, in milliseconds.
    pub delay_ms: u64,
}

/// One test: a model, a setting and the work to be timed.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The model file.
    pub model: PathBuf,
    /// The setting asked for.
    pub setting: Setting,
    /// The work.
    pub work: Work,
}

impl Test {
    /// Its name in llama-bench's table: `pp512`, `tg128 @ d4096`, `pp256+tg64`.
    #[must_use]
    pub fn name(&self) -> String {
        let name = match (self.work.prompt_tokens, self.work.generate_tokens) {
            (prompt, 0) => format!("pp{prompt}"),
            (0, generate) => format!("tg{generate}"),
            (prompt, generate) => format!("pp{prompt}+tg{generate}"),
        };
        if self.work.depth == 0 { name } else { format!("{name} @ d{}", self.work.depth) }
    }
}

/// Why there are no tests.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GridError {
    /// Every prompt and every generation is 0.
    #[error("nothing to test: every prompt and generation length is 0")]
    Empty,
    /// More than anybody waits for.
    #[error("the lists make more than {MOST_TESTS} tests")]
    TooMany,
}

impl Grid {
    /// llama-bench's defaults for one model and this many threads.
    #[must_use]
    pub fn defaults(model: PathBuf, threads: u32) -> Self {
        Self {
            models: vec![model],
            isa_variants: vec![None],
            gpu_layers: vec![GpuLayers::All],
            load_modes: vec![LoadMode::Auto],
            batches: vec![2048],
            ubatches: vec![512],
            types_k: vec![KvType::F16],
            types_v: vec![KvType::F16],
            flash_attention: vec![FlashAttention::Auto],
            threads: vec![threads],
            threads_batch: Vec::new(),
            cpu_masks: vec![None],
            strict: vec![Toggle::Off],
            depths: vec![0],
            polls: vec![50],
            prompts: vec![512],
            generates: vec![128],
            pairs: Vec::new(),
            numa: Numa::Disabled,
            priority: Priority::Normal,
            repetitions: 5,
            warmup: true,
            delay_ms: 0,
        }
    }

    /// The tests in llama-bench's order: model, then what needs a load, a context, a setter; last
    /// the prompt tests, the generation tests and the combined ones.
    pub fn tests(&self) -> Result<Vec<Test>, GridError> {
        self.check_size()?;
        let tests = vec![self.base()];
        let tests = vary(tests, &self.models, |test, value| test.model.clone_from(value));
        let tests = vary(tests, &self.isa_variants, |test, value| {
            test.setting.process.isa_variant.clone_from(value);
        });
        let tests = vary(tests, &self.gpu_layers, |test, value| {
            test.setting.load.gpu_layers = *value;
        });
        let tests =
            vary(tests, &self.load_modes, |test, value| test.setting.load.load_mode = *value);
        let tests = vary(tests, &self.batches, |test, value| test.setting.context.batch = *value);
        let tests = vary(tests, &self.ubatches, |test, value| test.setting.context.ubatch = *value);
        let tests = vary(tests, &self.types_k, |test, value| test.setting.context.type_k = *value);
        let tests = vary(tests, &self.types_v, |test, value| test.setting.context.type_v = *value);
        let tests = vary(tests, &self.flash_attention, |test, value| {
            test.setting.context.flash_attention = *value;
        });
        let tests = vary(tests, &self.threads, |test, value| {
            test.setting.threads.threads = *value;
            test.setting.threads.threads_batch = *value;
        });
        let tests = match self.threads_batch.as_slice() {
            [] => tests,
            values => {
                vary(tests, values, |test, value| test.setting.threads.threads_batch = *value)
            }
        };
        let tests = vary(tests, &self.cpu_masks, |test, value| {
            test.setting.threads.cpu_mask.clone_from(value);
        });
        let tests = vary(tests, &self.strict, |test, value| test.setting.threads.strict = *value);
        let tests = vary(tests, &self.depths, |test, value| test.work.depth = *value);
        let tests = vary(tests, &self.polls, |test, value| test.setting.threads.poll = *value);
        Ok(vary(tests, &self.lengths()?, |test, (prompt, generate)| {
            test.work.prompt_tokens = *prompt;
            test.work.generate_tokens = *generate;
            test.setting.context.context =
                prompt.saturating_add(*generate).saturating_add(test.work.depth);
        }))
    }

    fn base(&self) -> Test {
        Test {
            model: PathBuf::new(),
            setting: Setting {
                process: ProcessSetting { numa: self.numa, ..ProcessSetting::default() },
                // llama-bench leaves weights rearranged wherever the CPU has a kernel for it.
                load: LoadSetting { repack: Toggle::On, ..LoadSetting::default() },
                context: ContextSetting::default(),
                threads: ThreadSetting { priority: self.priority, ..ThreadSetting::of(1) },
            },
            work: Work {
                prompt_tokens: 0,
                generate_tokens: 0,
                depth: 0,
                repetitions: self.repetitions,
                warmup: self.warmup,
                delay_ms: self.delay_ms,
                seed: 1,
            },
        }
    }

    /// Prompt and generated tokens of each kind of test.
    fn lengths(&self) -> Result<Vec<(u32, u32)>, GridError> {
        let prompts = self.prompts.iter().map(|prompt| (*prompt, 0));
        let generates = self.generates.iter().map(|generate| (0, *generate));
        let lengths: Vec<(u32, u32)> = prompts
            .chain(generates)
            .chain(self.pairs.iter().copied())
            .filter(|lengths| *lengths != (0, 0))
            .collect();
        if lengths.is_empty() { Err(GridError::Empty) } else { Ok(lengths) }
    }

    /// Refuses a product of lists before anything is allocated for it.
    fn check_size(&self) -> Result<(), GridError> {
        let sizes = [
            self.models.len(),
            self.isa_variants.len(),
            self.gpu_layers.len(),
            self.load_modes.len(),
            self.batches.len(),
            self.ubatches.len(),
            self.types_k.len(),
            self.types_v.len(),
            self.flash_attention.len(),
            self.threads.len(),
            self.threads_batch.len().max(1),
            self.cpu_masks.len(),
            self.strict.len(),
            self.depths.len(),
            self.polls.len(),
            self.lengths()?.len(),
        ];
        let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        if product.is_some_and(|tests| tests <= MOST_TESTS) {
            Ok(())
        } else {
            Err(GridError::TooMany)
        }
    }
}

/// Each test once for each value, the values varying fastest.
fn vary<T>(tests: Vec<Test>, values: &[T], set: impl Fn(&mut Test, &T)) -> Vec<Test> {
    let mut varied = Vec::with_capacity(tests.len() * values.len());
    for test in tests {
        for value in values {
            let mut test = test.clone();
            set(&mut test, value);
            varied.push(test);
        }
    }
    varied
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid::defaults("m.gguf".into(), 4)
    }

    #[test]
    fn the_defaults_are_pp512_and_tg128_in_contexts_of_their_own() {
        let tests = grid().tests().unwrap();
        let seen: Vec<_> = tests
            .iter()
            .map(|test| {
                let context = &test.setting.context;
                (test.work.prompt_tokens, test.work.generate_tokens, context.context)
            })
            .collect();
        assert_eq!(seen, [(512, 0, 512), (0, 128, 128)]);
        assert_eq!(tests[0].setting.load.repack, Toggle::On);
        assert_eq!(tests[0].setting.threads, ThreadSetting::of(4));
    }

    #[test]
    fn tests_come_in_llama_benchs_order() {
        let grid = Grid {
            models: vec!["a".into(), "b".into()],
            ubatches: vec![256, 512],
            threads: vec![1, 2],
            depths: vec![0, 64],
            prompts: vec![16, 0],
            generates: vec![8],
            pairs: vec![(4, 2)],
            ..grid()
        };
        let tests = grid.tests().unwrap();
        assert_eq!(tests.len(), 2 * 2 * 2 * 2 * 3);
        let lengths: Vec<_> = tests[..3]
            .iter()
            .map(|test| (test.work.prompt_tokens, test.work.generate_tokens))
            .collect();
        assert_eq!(lengths, [(16, 0), (0, 8), (4, 2)]);
        assert_eq!((tests[3].work.depth, tests[3].setting.context.context), (64, 80));
        assert_eq!(tests[6].setting.threads.threads, 2);
        assert_eq!(tests[12].setting.context.ubatch, 512);
        assert_eq!(tests[24].model, PathBuf::from("b"));
        assert!(tests[..24].iter().all(|test| test.model.as_os_str() == "a"));
    }

    #[test]
    fn prompt_threads_follow_the_threads_unless_they_are_given() {
        let follow = Grid { threads: vec![1, 2], ..grid() }.tests().unwrap();
        let pairs = |tests: &[Test]| -> Vec<_> {
            let threads = tests.iter().map(|test| &test.setting.threads);
            threads.map(|threads| (threads.threads, threads.threads_batch)).step_by(2).collect()
        };
        assert_eq!(pairs(&follow), [(1, 1), (2, 2)]);
        let given = Grid { threads: vec![1, 2], threads_batch: vec![4, 8], ..grid() };
        assert_eq!(pairs(&given.tests().unwrap()), [(1, 4), (1, 8), (2, 4), (2, 8)]);
    }

    #[test]
    fn nothing_and_far_too_much_are_refused() {
        let nothing = Grid { prompts: vec![0], generates: vec![0], pairs: vec![(0, 0)], ..grid() };
        assert_eq!(nothing.tests().unwrap_err(), GridError::Empty);
        let long: Vec<u32> = (1..=512).collect();
        let much = Grid { threads: long.clone(), ubatches: long.clone(), depths: long, ..grid() };
        assert_eq!(much.tests().unwrap_err(), GridError::TooMany);
    }
}
