//! Every combination of the values asked for, in the order of llama-bench's nested loops, so that
//! a model is loaded as seldom there as here.

use std::path::PathBuf;

use autotune_engine::api::{
    ContextSetting, CpuMask, Devices, FlashAttention, GpuLayers, HugePages, Job, KvType, LoadMode,
    LoadSetting, MemoryPolicy, Numa, Priority, ProcessSetting, Setting, SplitMode, TensorOverride,
    TensorSplit, ThreadSetting, Toggle, Work,
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
    /// Which memory nodes new pages come from.
    pub memory_policies: Vec<MemoryPolicy>,
    /// Transparent huge pages for anonymous memory.
    pub huge_pages: Vec<HugePages>,
    /// Most arenas of the allocator, 0 for its own choice.
    pub malloc_arenas: Vec<u32>,
    /// Whether batches may use tiled matrix products.
    pub tiled_products: Vec<Toggle>,
    /// Whether a graph is kept for the next token.
    pub graph_reuse: Vec<Toggle>,
    /// Layers whose experts stay in main memory.
    pub cpu_experts: Vec<u32>,
    /// How several devices share a model.
    pub split_modes: Vec<SplitMode>,
    /// The device that has everything under split mode none.
    pub main_gpus: Vec<u32>,
    /// Devices that may be used.
    pub devices: Vec<Devices>,
    /// Shares of the devices.
    pub tensor_splits: Vec<TensorSplit>,
    /// Tensors placed by name.
    pub overrides: Vec<Vec<TensorOverride>>,
    /// How the file reaches memory.
    pub load_modes: Vec<LoadMode>,
    /// Whether weights may be rearranged for the CPU.
    pub repack: Vec<Toggle>,
    /// Whether weights for the CPU keep out of pinned memory.
    pub no_host: Vec<Toggle>,
    /// Whether devices compute large batches of weights that they do not hold.
    pub op_offload: Vec<Toggle>,
    /// Logical batches.
    pub batches: Vec<u32>,
    /// Physical batches.
    pub ubatches: Vec<u32>,
    /// Element types of the K cache.
    pub types_k: Vec<KvType>,
    /// Element types of the V cache.
    pub types_v: Vec<KvType>,
    /// Whether the KV cache is where its layer is.
    pub kv_offload: Vec<Toggle>,
    /// Whether layers with a sliding window cache the whole context.
    pub swa_full: Vec<Toggle>,
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
    /// Its job. llama-bench's contexts are as long as the test, and llama.cpp cuts batches to the
    /// context; cutting them here says so in the setting instead of in a caveat on every test.
    #[must_use]
    pub fn job(&self) -> Job {
        let mut setting = self.setting.clone();
        let context = &mut setting.context;
        context.batch = context.batch.min(context.context);
        context.ubatch = context.ubatch.min(context.batch);
        Job { model: self.model.clone(), setting, work: self.work.clone() }
    }

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
            memory_policies: vec![MemoryPolicy::Default],
            huge_pages: vec![HugePages::System],
            malloc_arenas: vec![0],
            tiled_products: vec![Toggle::On],
            graph_reuse: vec![Toggle::On],
            cpu_experts: vec![0],
            split_modes: vec![SplitMode::Layer],
            main_gpus: vec![0],
            devices: vec![Devices::Auto],
            tensor_splits: vec![TensorSplit::default()],
            overrides: vec![Vec::new()],
            load_modes: vec![LoadMode::Auto],
            // llama-bench leaves weights rearranged wherever the CPU has a kernel for it.
            repack: vec![Toggle::On],
            no_host: vec![Toggle::Off],
            op_offload: vec![Toggle::On],
            batches: vec![2048],
            ubatches: vec![512],
            types_k: vec![KvType::F16],
            types_v: vec![KvType::F16],
            kv_offload: vec![Toggle::On],
            swa_full: vec![Toggle::Off],
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
        let tests = vary(vec![self.base()], &self.models, |test, it| test.model.clone_from(it));
        let tests = self.of_threads(self.of_contexts(self.of_loads(self.of_processes(tests))));
        Ok(vary(tests, &self.lengths()?, |test, (prompt, generate)| {
            test.work.prompt_tokens = *prompt;
            test.work.generate_tokens = *generate;
            test.setting.context.context =
                prompt.saturating_add(*generate).saturating_add(test.work.depth);
        }))
    }

    fn of_processes(&self, tests: Vec<Test>) -> Vec<Test> {
        let tests = vary(tests, &self.isa_variants, |test, it| {
            test.setting.process.isa_variant.clone_from(it);
        });
        let tests = vary(tests, &self.memory_policies, |test, it| {
            test.setting.process.memory_policy = *it;
        });
        let tests = vary(tests, &self.huge_pages, |test, it| test.setting.process.huge_pages = *it);
        let tests =
            vary(tests, &self.malloc_arenas, |test, it| test.setting.process.malloc_arenas = *it);
        let tests = vary(tests, &self.tiled_products, |test, it| {
            test.setting.process.tiled_products = *it;
        });
        vary(tests, &self.graph_reuse, |test, it| test.setting.process.graph_reuse = *it)
    }

    fn of_loads(&self, tests: Vec<Test>) -> Vec<Test> {
        let tests = vary(tests, &self.gpu_layers, |test, it| test.setting.load.gpu_layers = *it);
        let tests = vary(tests, &self.cpu_experts, |test, it| test.setting.load.cpu_experts = *it);
        let tests = vary(tests, &self.split_modes, |test, it| test.setting.load.split_mode = *it);
        let tests = vary(tests, &self.main_gpus, |test, it| test.setting.load.main_gpu = *it);
        let tests = vary(tests, &self.devices, |test, it| test.setting.load.devices.clone_from(it));
        let tests = vary(tests, &self.tensor_splits, |test, it| {
            test.setting.load.tensor_split.clone_from(it);
        });
        let tests =
            vary(tests, &self.overrides, |test, it| test.setting.load.overrides.clone_from(it));
        let tests = vary(tests, &self.load_modes, |test, it| test.setting.load.load_mode = *it);
        let tests = vary(tests, &self.repack, |test, it| test.setting.load.repack = *it);
        vary(tests, &self.no_host, |test, it| test.setting.load.no_host = *it)
    }

    fn of_contexts(&self, tests: Vec<Test>) -> Vec<Test> {
        let tests = vary(tests, &self.op_offload, |test, it| test.setting.context.op_offload = *it);
        let tests = vary(tests, &self.batches, |test, it| test.setting.context.batch = *it);
        let tests = vary(tests, &self.ubatches, |test, it| test.setting.context.ubatch = *it);
        let tests = vary(tests, &self.types_k, |test, it| test.setting.context.type_k = *it);
        let tests = vary(tests, &self.types_v, |test, it| test.setting.context.type_v = *it);
        let tests = vary(tests, &self.kv_offload, |test, it| test.setting.context.kv_offload = *it);
        let tests = vary(tests, &self.swa_full, |test, it| test.setting.context.swa_full = *it);
        vary(tests, &self.flash_attention, |test, it| test.setting.context.flash_attention = *it)
    }

    fn of_threads(&self, tests: Vec<Test>) -> Vec<Test> {
        let tests = vary(tests, &self.threads, |test, it| {
            test.setting.threads.threads = *it;
            test.setting.threads.threads_batch = *it;
        });
        let tests = match self.threads_batch.as_slice() {
            [] => tests,
            values => vary(tests, values, |test, it| test.setting.threads.threads_batch = *it),
        };
        let tests = vary(tests, &self.cpu_masks, |test, it| {
            test.setting.threads.cpu_mask.clone_from(it);
        });
        let tests = vary(tests, &self.strict, |test, it| test.setting.threads.strict = *it);
        let tests = vary(tests, &self.depths, |test, it| test.work.depth = *it);
        vary(tests, &self.polls, |test, it| test.setting.threads.poll = *it)
    }

    fn base(&self) -> Test {
        Test {
            model: PathBuf::new(),
            setting: Setting {
                process: ProcessSetting {
                    numa: self.numa,
                    nice: nice(self.priority),
                    ..ProcessSetting::default()
                },
                load: LoadSetting::default(),
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
                parallel: 1,
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
            self.memory_policies.len(),
            self.huge_pages.len(),
            self.malloc_arenas.len(),
            self.tiled_products.len(),
            self.graph_reuse.len(),
            self.cpu_experts.len(),
            self.split_modes.len(),
            self.main_gpus.len(),
            self.devices.len(),
            self.tensor_splits.len(),
            self.overrides.len(),
            self.load_modes.len(),
            self.repack.len(),
            self.no_host.len(),
            self.op_offload.len(),
            self.kv_offload.len(),
            self.swa_full.len(),
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

/// The niceness that llama-bench gives its process along with a priority of its threads.
fn nice(priority: Priority) -> i8 {
    match priority {
        Priority::Low => 5,
        Priority::Normal => 0,
        Priority::Medium => -5,
        Priority::High => -10,
        Priority::Realtime => -20,
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
