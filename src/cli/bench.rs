//! The verb `bench`: one or several settings with llama-bench's flags, meaning and formats.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use autotune_engine::api::{
    CpuMask, Engine, Failure, GpuLayers, Numa, Priority, TensorOverride, Toggle,
};
use autotune_engine::worker::Canceller;
use clap::Args;

use super::engine::{self, Devices, EngineChoice};
use super::global::now;
use super::{Exit, Printer, Stop, Verbosity};
use super::{global, interrupt, model};
use crate::bench::{
    Event, Format, Grid, ListError, Record, Session, Surroundings, Writer, numbers, pair,
    run as run_tests, words,
};

/// Tokens that one length may ask for: beyond every context, below every overflow.
const MOST_TOKENS: u32 = 1 << 24;
/// Threads that ggml can name.
const MOST_THREADS: u32 = 512;
/// Layers that a flag may count.
const MOST_LAYERS: u32 = 100_000;

/// Measure one or several settings, with llama-bench's flags and formats
#[derive(Debug, Args)]
#[command(after_help = "\
Several values: separated by commas, as ranges (first-last, first-last+step,
first-last*factor), or by repeating the flag. Every combination is a test;
-ub, -ctk, -ctv, -tb, -ngl, -ncmoe, -sm, -mg, -ts, -ot, -dev, -nkvo, -nopo,
-fa, -lm, -pg and -oe may be written with one dash, as llama-bench has them.

Examples:
  autotune bench -m m.gguf                             pp512, tg128
  autotune bench -m m.gguf -p 256 -n 64 -t 1-8*2       one to eight threads
  autotune bench -m m.gguf -t 4 -tb 4,8 -fa 0,1        own prompt threads
  autotune bench -m synth:llama-3.2-1b:q4_k_m -o json  made on the spot

Exit codes: 0 done, 2 wrong usage or unreadable input, 4 nothing could be
measured, 130 interrupted.")]
pub struct Arguments {
    /// GGUF file, or synth:SHAPE:QUANT
    #[arg(short, long, required = true, value_name = "MODEL")]
    model: Vec<String>,
    /// Prompt tokens of the pp tests, 0 for none
    #[arg(short = 'p', long, value_name = "N", default_value = "512")]
    n_prompt: Vec<String>,
    /// Generated tokens of the tg tests, 0 for none
    #[arg(short = 'n', long, value_name = "N", default_value = "128")]
    n_gen: Vec<String>,
    /// Prompt and generation in one test
    #[arg(long, value_name = "PP,TG")]
    pg: Vec<String>,
    /// Tokens already in the KV cache
    #[arg(short = 'd', long, value_name = "N", default_value = "0")]
    n_depth: Vec<String>,
    /// Logical batch
    #[arg(short, long, value_name = "N", default_value = "2048")]
    batch_size: Vec<String>,
    /// Physical batch
    #[arg(long, value_name = "N", default_value = "512")]
    ubatch_size: Vec<String>,
    /// Type of the K cache
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    cache_type_k: Vec<String>,
    /// Type of the V cache
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    cache_type_v: Vec<String>,
    /// Threads [default: physical cores]
    #[arg(short, long, value_name = "N")]
    threads: Vec<String>,
    /// Threads that process prompts [default: as --threads]
    #[arg(long, value_name = "N")]
    threads_batch: Vec<String>,
    /// CPUs the threads may run on, in hexadecimal; 0x0 for all
    #[arg(short = 'C', long, value_name = "HEX", default_value = "0x0")]
    cpu_mask: Vec<String>,
    /// Bind each thread to one CPU
    #[arg(long, value_name = "0|1", default_value = "0")]
    cpu_strict: Vec<String>,
    /// Spinning before sleep, 0 to 100
    #[arg(long, value_name = "N", default_value = "50")]
    poll: Vec<String>,
    /// Priority of the threads and of the process, -1 to 3
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true)]
    prio: Priority,
    /// Layers on the GPU; -1 or `all` for all
    #[arg(long, value_name = "N", default_value = "-1", allow_hyphen_values = true)]
    n_gpu_layers: Vec<String>,
    /// Flash attention
    #[arg(long, value_name = "on|off|auto", default_value = "auto", allow_hyphen_values = true)]
    flash_attn: Vec<String>,
    /// How the file reaches memory: auto, none, mmap, mlock, mmap+mlock, dio
    #[arg(long, value_name = "MODE", default_value = "auto")]
    load_mode: Vec<String>,
    /// Layers whose experts stay in main memory
    #[arg(long, value_name = "N", default_value = "0")]
    n_cpu_moe: Vec<String>,
    /// How devices share a model: none, layer, row, tensor
    #[arg(long, value_name = "MODE", default_value = "layer")]
    split_mode: Vec<String>,
    /// The device that has everything under split mode none
    #[arg(long, value_name = "N", default_value = "0")]
    main_gpu: Vec<String>,
    /// Devices to offload to, between slashes; auto or none
    #[arg(long, value_name = "NAMES", default_value = "auto")]
    device: Vec<String>,
    /// Shares of the devices, between slashes: 3/1
    #[arg(long, value_name = "SHARES", default_value = "auto")]
    tensor_split: Vec<String>,
    /// Tensors placed by name, several with `;` between them; none
    #[arg(long, value_name = "PATTERN=BUFFER", default_value = "none")]
    override_tensor: Vec<String>,
    /// KV cache in main memory
    #[arg(long, value_name = "0|1", default_value = "0")]
    no_kv_offload: Vec<String>,
    /// No large batches on a device that lacks the weights
    #[arg(long, value_name = "0|1", default_value = "0")]
    no_op_offload: Vec<String>,
    /// Weights for the CPU out of pinned memory
    #[arg(long, value_name = "0|1", default_value = "0")]
    no_host: Vec<String>,
    /// Weights rearranged for the kernels of the CPU
    #[arg(long, value_name = "0|1", default_value = "1")]
    repack: Vec<String>,
    /// Whole context cached for layers with a sliding window
    #[arg(long, value_name = "0|1", default_value = "0")]
    swa_full: Vec<String>,
    /// Memory nodes: default, local, interleave, bind:NODE
    #[arg(long, value_name = "POLICY", default_value = "default")]
    numa_policy: Vec<String>,
    /// Transparent huge pages: system, on, off
    #[arg(long, value_name = "MODE", default_value = "system")]
    thp: Vec<String>,
    /// Most arenas of the allocator, 0 for its own choice
    #[arg(long, value_name = "N", default_value = "0")]
    malloc_arenas: Vec<String>,
    /// Tiled matrix products for batches
    #[arg(long, value_name = "0|1", default_value = "1")]
    tiled_products: Vec<String>,
    /// Computation graph kept for the next token
    #[arg(long, value_name = "0|1", default_value = "1")]
    graph_reuse: Vec<String>,
    /// Build variant of the CPU code, by ggml's name
    #[arg(long, value_name = "NAME", default_value = "auto")]
    isa_variant: Vec<String>,
    /// Timed repetitions of each test
    #[arg(short, long, value_name = "N", default_value = "5",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repetitions: u32,
    /// Pause before each test, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0",
          value_parser = clap::value_parser!(u64).range(0..=86_400))]
    delay: u64,
    /// NUMA strategy: disabled, distribute, isolate, numactl
    #[arg(long, value_name = "MODE", default_value = "disabled")]
    numa: Numa,
    /// No untimed run before the repetitions
    #[arg(long)]
    no_warmup: bool,
    /// Format of the results on stdout: md, json, jsonl, csv
    #[arg(short, long, visible_alias = "format", value_name = "FORMAT", default_value = "md")]
    output: Format,
    /// Format of a second copy on stderr
    #[arg(long, value_name = "FORMAT")]
    output_err: Option<Format>,
    /// Say on stderr which test is running
    #[arg(long)]
    progress: bool,
    /// Who measures: llama.cpp, sim:FILE for a simulated machine, or replay:DIR for what another
    /// sweep measured
    #[arg(long, value_name = "ENGINE", default_value = "llama.cpp")]
    engine: EngineChoice,
    #[command(flatten)]
    devices: Devices,
    /// Time after which a test is given up, loading included
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// What the verb needs of the other modules.
struct Tools<'a> {
    /// Runs the tests.
    engine: &'a mut dyn Engine,
    /// Turns a model as typed into a file that is there.
    resolve: &'a dyn Fn(&str) -> Result<PathBuf, Stop>,
    /// Physical cores: llama-bench's default for threads.
    cores: u32,
    /// What the records say of the machine.
    surroundings: Surroundings,
    /// Ends the running test.
    canceller: Option<Canceller>,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let mut opened = engine::open_with(&arguments.engine, &arguments.devices)?;
    let canceller = opened.canceller.take();
    let engine = opened.engine.as_mut();
    if let Some(world) = &opened.world {
        // Every file is the one model of a simulated machine, so none has to be there.
        let resolve = |typed: &str| Ok(PathBuf::from(typed));
        let surroundings = Surroundings { cpu: Some(world.name.clone()), gpus: Vec::new() };
        let tools = Tools {
            engine,
            resolve: &resolve,
            cores: world.machine.cores,
            surroundings,
            canceller,
        };
        run_with(arguments, printer, tools)
    } else if let Some(recorded) = &opened.recorded {
        let resolve = |typed: &str| Ok(PathBuf::from(typed));
        let surroundings =
            Surroundings { cpu: recorded.machine.cpu.model.clone(), gpus: Vec::new() };
        let cores = recorded.machine.fast_cores().unwrap_or(1);
        run_with(
            arguments,
            printer,
            Tools { engine, resolve: &resolve, cores, surroundings, canceller },
        )
    } else {
        let machine = crate::detect::machine(&crate::detect::live());
        super::detect::measurable(&machine)?;
        let resolve = |typed: &str| model::card(typed, printer).map(|card| card.path);
        let surroundings = Surroundings {
            cpu: machine.cpu.model.clone(),
            gpus: machine.gpus.iter().filter_map(|gpu| gpu.name.clone()).collect(),
        };
        let cores = machine.fast_cores().unwrap_or(1);
        run_with(
            arguments,
            printer,
            Tools { engine, resolve: &resolve, cores, surroundings, canceller },
        )
    }
}

/// Runs every test and writes each result as it comes.
fn run_with(arguments: &Arguments, printer: Printer, tools: Tools<'_>) -> Result<Exit, Stop> {
    // The lists first: a slip in one should not wait for a model to be written.
    let grid = grid(arguments, tools.cores)?;
    grid.tests().map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    let models = arguments.model.iter().map(|typed| (tools.resolve)(typed));
    let grid = Grid { models: models.collect::<Result<_, _>>()?, ..grid };
    let mut tests = grid.tests().map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    for test in &mut tests {
        test.setting.process.rpc.clone_from(&arguments.devices.rpc);
    }

    let identity = tools
        .engine
        .identity()
        .map_err(|failure| Stop::from_error(Exit::NothingMeasured, &failure))?;
    let mut copies = Copies::new(arguments, &grid, printer);
    let interrupted = interrupt::flag(tools.canceller)?;
    let mut session = Session {
        engine: tools.engine,
        surroundings: tools.surroundings,
        now: &now,
        stopped: &|| interrupted.load(Ordering::Relaxed),
        deadline: arguments.timeout,
    };
    copies.write(|writer| writer.header())?;
    let measured = run_tests(&mut session, &identity, &tests, |event| match event {
        Event::Started { number, of, test } => {
            let level = if arguments.progress { Verbosity::Normal } else { Verbosity::Verbose };
            printer.say_at(level, format!("bench: test {number}/{of}: {}", test.name()));
            Ok(())
        }
        Event::Finished(record) => {
            copies.write(|writer| writer.record(record))?;
            comment(record, arguments.output, printer);
            Ok(())
        }
    })?;
    copies.write(|writer| writer.footer(&identity))?;
    Ok(match (interrupted.load(Ordering::Relaxed), measured) {
        (true, _) => Exit::Interrupted,
        (false, 0) => Exit::NothingMeasured,
        (false, _) => Exit::Done,
    })
}

/// The results on stdout, and perhaps in another format on stderr.
struct Copies {
    printer: Printer,
    out: Writer,
    error: Option<Writer>,
}

impl Copies {
    fn new(arguments: &Arguments, grid: &Grid, printer: Printer) -> Self {
        let error = arguments.output_err.map(|format| Writer::new(format, grid));
        Self { printer, out: Writer::new(arguments.output, grid), error }
    }

    fn write(&mut self, text: impl Fn(&mut Writer) -> String) -> Result<(), Stop> {
        self.printer.data(&text(&mut self.out))?;
        if let Some(writer) = &mut self.error {
            let text = text(writer);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            if !text.is_empty() {
                // Asked for by name, so `--quiet` does not silence it.
                self.printer.say_at(Verbosity::Quiet, text);
            }
        }
        Ok(())
    }
}

/// Failures and doubts, for whoever watches. The table tells of failures itself.
fn comment(record: &Record, format: Format, printer: Printer) {
    let name = record.test.name();
    let say = |level, text: &str| printer.say_at(level, global::one_line(text));
    match &record.outcome {
        Ok(run) => {
            for caveat in &run.caveats {
                say(Verbosity::Normal, &format!("{name}: {caveat}"));
            }
        }
        Err(failure) => {
            if format != Format::Markdown {
                say(Verbosity::Normal, &format!("{name}: {failure}"));
            }
            if let Failure::Refused { log, .. }
            | Failure::OutOfMemory { log, .. }
            | Failure::Crashed { log, .. }
            | Failure::TimedOut { log, .. } = failure
            {
                for line in log {
                    printer
                        .say_at(Verbosity::Verbose, format!("  {}", super::global::one_line(line)));
                }
            }
        }
    }
}

/// Typed lists as values. The models are left as typed.
fn grid(arguments: &Arguments, cores: u32) -> Result<Grid, Stop> {
    let tokens = |text: &str| numbers(text, 0..=MOST_TOKENS);
    let batch = |text: &str| numbers(text, 1..=MOST_TOKENS);
    let threads = |text: &str| numbers(text, 1..=MOST_THREADS);
    let polls = |text: &str| {
        Ok(numbers(text, 0..=100)?.into_iter().filter_map(|poll| u8::try_from(poll).ok()).collect())
    };
    let arenas = |text: &str| numbers(text, 0..=4096);
    let experts = |text: &str| numbers(text, 0..=512);
    let gpus = |text: &str| numbers(text, 0..=15);
    let variants = |text: &str| {
        Ok(text.split(',').map(|name| (name != "auto").then(|| name.to_owned())).collect())
    };
    let defaults = Grid::defaults(PathBuf::new(), cores);
    Ok(Grid {
        models: arguments.model.iter().map(PathBuf::from).collect(),
        isa_variants: each("isa-variant", &arguments.isa_variant, variants)?,
        gpu_layers: each("n-gpu-layers", &arguments.n_gpu_layers, layers)?,
        load_modes: each("load-mode", &arguments.load_mode, words)?,
        memory_policies: each("numa-policy", &arguments.numa_policy, words)?,
        huge_pages: each("thp", &arguments.thp, words)?,
        malloc_arenas: each("malloc-arenas", &arguments.malloc_arenas, arenas)?,
        tiled_products: each("tiled-products", &arguments.tiled_products, words)?,
        graph_reuse: each("graph-reuse", &arguments.graph_reuse, words)?,
        cpu_experts: each("n-cpu-moe", &arguments.n_cpu_moe, experts)?,
        split_modes: each("split-mode", &arguments.split_mode, words)?,
        main_gpus: each("main-gpu", &arguments.main_gpu, gpus)?,
        devices: each("device", &arguments.device, words)?,
        tensor_splits: each("tensor-split", &arguments.tensor_split, words)?,
        overrides: each("override-tensor", &arguments.override_tensor, overrides)?,
        repack: each("repack", &arguments.repack, words)?,
        no_host: each("no-host", &arguments.no_host, words)?,
        op_offload: each("no-op-offload", &arguments.no_op_offload, opposite)?,
        kv_offload: each("no-kv-offload", &arguments.no_kv_offload, opposite)?,
        swa_full: each("swa-full", &arguments.swa_full, words)?,
        batches: each("batch-size", &arguments.batch_size, batch)?,
        ubatches: each("ubatch-size", &arguments.ubatch_size, batch)?,
        types_k: each("cache-type-k", &arguments.cache_type_k, words)?,
        types_v: each("cache-type-v", &arguments.cache_type_v, words)?,
        flash_attention: each("flash-attn", &arguments.flash_attn, words)?,
        threads: match arguments.threads.as_slice() {
            [] => defaults.threads,
            typed => each("threads", typed, threads)?,
        },
        threads_batch: each("threads-batch", &arguments.threads_batch, threads)?,
        cpu_masks: each("cpu-mask", &arguments.cpu_mask, masks)?,
        strict: each("cpu-strict", &arguments.cpu_strict, words)?,
        depths: each("n-depth", &arguments.n_depth, tokens)?,
        polls: each("poll", &arguments.poll, polls)?,
        prompts: each("n-prompt", &arguments.n_prompt, tokens)?,
        generates: each("n-gen", &arguments.n_gen, tokens)?,
        pairs: each("pg", &arguments.pg, |text| Ok(vec![pair(text, 0..=MOST_TOKENS)?]))?,
        numa: arguments.numa,
        priority: arguments.prio,
        repetitions: arguments.repetitions,
        warmup: !arguments.no_warmup,
        delay_ms: arguments.delay * 1000,
    })
}

/// The values of every occurrence of a flag, in order; a mistake names the flag.
fn each<T>(
    flag: &str,
    typed: &[String],
    read: impl Fn(&str) -> Result<Vec<T>, ListError>,
) -> Result<Vec<T>, Stop> {
    let mut values = Vec::new();
    for text in typed {
        values.extend(read(text).map_err(|error| Stop::usage(format!("--{flag}: {error}")))?);
    }
    Ok(values)
}

/// Layer counts: a number, a range, `all`, or -1 for all.
fn layers(text: &str) -> Result<Vec<GpuLayers>, ListError> {
    let mut values = Vec::new();
    for item in text.split(',') {
        match item.parse() {
            Ok(GpuLayers::Count(_)) | Err(_) => {
                let counts = numbers(item, 0..=MOST_LAYERS)?;
                values.extend(counts.into_iter().map(GpuLayers::Count));
            }
            Ok(GpuLayers::All) => values.push(GpuLayers::All),
        }
    }
    Ok(values)
}

/// Flags that turn something off, as what they leave on.
fn opposite(text: &str) -> Result<Vec<Toggle>, ListError> {
    let off: Vec<Toggle> = words(text)?;
    Ok(off.into_iter().map(|off| Toggle::from(off == Toggle::Off)).collect())
}

/// Tensors placed by name: between commas another test, between semicolons another pattern.
fn overrides(text: &str) -> Result<Vec<Vec<TensorOverride>>, ListError> {
    let one = |item: &str| -> Result<Vec<TensorOverride>, ListError> {
        if item == "none" {
            return Ok(Vec::new());
        }
        let parse = |part: &str| part.parse().map_err(|it| ListError::NotAWord(format!("{it}")));
        item.split(';').map(parse).collect()
    };
    text.split(',').map(one).collect()
}

/// CPU masks; all zeros is none.
fn masks(text: &str) -> Result<Vec<Option<CpuMask>>, ListError> {
    let zeros = |item: &str| {
        let digits = item.trim_start_matches("0x");
        item.starts_with('0') && digits.bytes().all(|digit| digit == b'0')
    };
    text.split(',')
        .map(|item| {
            if zeros(item) {
                return Ok(None);
            }
            item.parse().map(Some).map_err(|error| ListError::NotAWord(format!("{error}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use autotune_engine::api::{
        Devices, FlashAttention, HugePages, KvType, LoadMode, MemoryPolicy, SplitMode,
    };
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Verb {
        Bench(Box<Arguments>),
    }

    fn parsed(line: &str) -> Result<Grid, String> {
        let words = line.split(' ').map(OsString::from);
        let words = super::super::spelling::respell(words);
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let Verb::Bench(arguments) = line.verb;
        grid(&arguments, 6).map_err(|stop| stop.message)
    }

    #[test]
    fn without_flags_it_is_llama_bench_without_flags() {
        let grid = parsed("autotune bench -m m.gguf").unwrap();
        assert_eq!(grid, Grid::defaults("m.gguf".into(), 6));
    }

    #[test]
    fn every_flag_reaches_the_grid() {
        let line = "autotune bench -m a.gguf -m b.gguf -p 16,32 -n 0 -pg 4,2 -pg 8,4 -d 0-64+32 \
                    -b 512 -ub 64-256*2 -ctk f16,q8_0 -ctv q4_0 -t 1-3 -tb 4 -C 0x3,0x0 \
                    --cpu-strict 0,1 --poll 0,100 --prio -1 -ngl -1,0-2,all -fa on,0,auto \
                    -lm mmap,none --isa-variant auto,haswell -r 2 --delay 3 --numa isolate \
                    -ncmoe 2,4 -sm none,tensor -mg 1 -dev CUDA0/CUDA1,none -ts 3/1 \
                    -ot exps=CPU;a=CUDA0,none -nkvo 0,1 -nopo 1 --no-host 1 --repack 0,1 \
                    --swa-full on --numa-policy bind:1 --thp off,on --malloc-arenas 0-2 \
                    --tiled-products 0 --graph-reuse off --no-warmup -o jsonl -oe md --progress --timeout 5m";
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = Grid {
            models: vec!["a.gguf".into(), "b.gguf".into()],
            isa_variants: vec![None, Some("haswell".to_owned())],
            gpu_layers: vec![
                GpuLayers::All,
                GpuLayers::Count(0),
                GpuLayers::Count(1),
                GpuLayers::Count(2),
                GpuLayers::All,
            ],
            load_modes: vec![LoadMode::Mmap, LoadMode::None],
            cpu_experts: vec![2, 4],
            split_modes: vec![SplitMode::None, SplitMode::Tensor],
            main_gpus: vec![1],
            devices: vec![Devices::Named(vec!["CUDA0".into(), "CUDA1".into()]), Devices::None],
            tensor_splits: vec!["3/1".parse().unwrap()],
            overrides: vec![
                vec!["exps=CPU".parse().unwrap(), "a=CUDA0".parse().unwrap()],
                Vec::new(),
            ],
            kv_offload: vec![Toggle::On, Toggle::Off],
            op_offload: vec![Toggle::Off],
            no_host: vec![Toggle::On],
            repack: vec![Toggle::Off, Toggle::On],
            swa_full: vec![Toggle::On],
            memory_policies: vec![MemoryPolicy::Bind(1)],
            huge_pages: vec![HugePages::Off, HugePages::On],
            malloc_arenas: vec![0, 1, 2],
            tiled_products: vec![Toggle::Off],
            graph_reuse: vec![Toggle::Off],
            batches: vec![512],
            ubatches: vec![64, 128, 256],
            types_k: vec![KvType::F16, KvType::Q8_0],
            types_v: vec![KvType::Q4_0],
            flash_attention: vec![FlashAttention::On, FlashAttention::Off, FlashAttention::Auto],
            threads: vec![1, 2, 3],
            threads_batch: vec![4],
            cpu_masks: vec![CpuMask::new([0, 1]), None],
            strict: vec![Toggle::Off, Toggle::On],
            depths: vec![0, 32, 64],
            polls: vec![0, 100],
            prompts: vec![16, 32],
            generates: vec![0],
            pairs: vec![(4, 2), (8, 4)],
            numa: Numa::Isolate,
            priority: Priority::Low,
            repetitions: 2,
            warmup: false,
            delay_ms: 3000,
        };
        assert_eq!(parsed(&line).unwrap(), wanted);
    }

    #[test]
    fn a_mistake_names_its_flag() {
        for (flags, named) in [
            ("-t 0", "--threads: 0 is outside 1-512"),
            ("-t 8-1", "--threads: `8-1` counts downward"),
            ("-ub x", "--ubatch-size: `x` is neither"),
            ("-ctk q9", "--cache-type-k: `q9` is not a KV cache type"),
            ("-ngl some", "--n-gpu-layers: `some` is neither"),
            ("-C xyz", "--cpu-mask: `xyz` is not a hexadecimal"),
            ("--poll 101", "--poll: 101 is outside 0-100"),
            ("-pg 512", "--pg: `512` is not a pair"),
            ("-fa maybe", "--flash-attn: `maybe` is not"),
            ("-r 0", "--repetitions"),
            ("-o sql", "`sql` is none of md, json, jsonl, csv"),
            ("-sm row,x", "--split-mode: `x` is not a split mode"),
            ("-ts 1/x", "--tensor-split: `1/x`"),
            ("-ot exps", "--override-tensor: `exps`"),
            ("-nkvo 2", "--no-kv-offload"),
            ("-embd 1", "--embeddings"),
        ] {
            let message = parsed(&format!("autotune bench -m m.gguf {flags}")).unwrap_err();
            assert!(message.contains(named), "{flags}: {message}");
        }
    }
}
