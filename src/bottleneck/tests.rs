//! Whole profiles of made-up observations: each kind of bottleneck is told by what makes it one.

use autotune_engine::api::{
    Bytes, ContextSetting, Count, Event, GpuLayers, GraphTimes, KernelUse, LoadSetting, MemoryUse,
    ModelFacts, Observed, Part, PhaseUse, Piece, ProcessSetting, Run, Sample, Setting, Stretch,
    ThreadSetting, Transition, Work,
};

use super::{Evidence, profile};
use crate::model::{Bound, Ceilings, Interval, ModelCard, ModelProfile, Peak, TypeShare};

const MEGABYTE: u64 = 1_000_000;

/// A model of 1 GB whose tokens take 50 ms each, and prompts of 100 tokens a second, on four
/// threads of a machine that reads 25 GB/s and computes 1000 Gop/s.
struct World {
    card: ModelCard,
    work: Work,
    program: Observed,
    graphs: Option<Observed>,
    ceilings: Option<Ceilings>,
    cache_bytes: Option<u64>,
    link: Option<f64>,
}

fn card() -> ModelCard {
    ModelCard {
        path: "m.gguf".into(),
        name: None,
        architecture: "llama".to_owned(),
        file_bytes: Bytes(1000 * MEGABYTE),
        digest: String::new(),
        synthetic: true,
        parameters: 1_000_000_000,
        layers: 16,
        embedding: 2048,
        heads: 32,
        kv_heads: 8,
        key_length: 64,
        value_length: 64,
        feed_forward: 8192,
        experts: 0,
        experts_used: 0,
        vocabulary: 32_000,
        trained_context: 4096,
        sliding_window: None,
        types: vec![TypeShare { name: "Q8_0".to_owned(), tensors: 1, bytes: Bytes(MEGABYTE) }],
        bytes_per_token: Bytes(1000 * MEGABYTE),
    }
}

fn observed(samples: Vec<Sample>, phases: Vec<PhaseUse>, graphs: Vec<GraphTimes>) -> Observed {
    let setting = Setting {
        process: ProcessSetting::default(),
        load: LoadSetting { gpu_layers: GpuLayers::Count(0), ..LoadSetting::default() },
        context: ContextSetting::default(),
        threads: ThreadSetting::of(4),
    };
    let run = Run {
        effective: setting,
        samples,
        memory: MemoryUse::default(),
        model: ModelFacts::default(),
        transition: Transition::default(),
        caveats: Vec::new(),
        answers: Vec::new(),
        graph: None,
    };
    Observed { phases, graphs, ..Observed::nothing_of(run) }
}

fn phase(stretch: Stretch, repetition: u32, tokens: u64, elapsed_ms: u64) -> PhaseUse {
    PhaseUse {
        stretch,
        repetition,
        sampled: false,
        tokens,
        elapsed_ns: elapsed_ms * MEGABYTE,
        // All four threads compute.
        cpu_ns: 4 * elapsed_ms * MEGABYTE,
        kernel: KernelUse { read_bytes: Some(0), ..KernelUse::default() },
        counts: vec![Count {
            event: Event::PackageEnergy,
            unit: None,
            value: 2 * elapsed_ms * 1000,
            enabled_ns: 1,
            running_ns: 1,
        }],
    }
}

fn graph(stretch: Stretch, tokens: u32, weight_bytes: u64, arithmetic: u64) -> GraphTimes {
    let piece = |part, share: u64| Piece {
        part,
        layer: Some(0),
        operations: vec!["MUL_MAT".to_owned()],
        nodes: 1,
        device: None,
        weight_bytes: weight_bytes * share / 4,
        copied_bytes: 0,
        cache_bytes: 0,
        arithmetic: arithmetic * share / 4,
        elapsed_ns: share * 25 * MEGABYTE,
    };
    GraphTimes {
        stretch,
        tokens,
        passes: 2,
        quiet_ns: vec![50 * MEGABYTE; 2],
        timed_ns: vec![52 * MEGABYTE; 2],
        pieces: vec![piece(Part::FeedForwardUp, 3), piece(Part::AttentionQkv, 1)],
    }
}

fn peak(value: f64) -> Peak {
    let rate = Interval { value, low: 0.98 * value, high: 1.02 * value };
    Peak { threads: 4, rate, ..Peak::default() }
}

impl World {
    fn new() -> Self {
        let decode = Sample {
            prefill_ns: 1000 * MEGABYTE,
            decode_ns: 500 * MEGABYTE,
            token_ns: vec![50 * MEGABYTE; 10],
        };
        let phases = (0..8).flat_map(|repetition| {
            [
                phase(Stretch::Prefill, repetition, 100, 1000),
                phase(Stretch::Decode, repetition, 10, 500),
            ]
        });
        Self {
            card: card(),
            work: Work {
                prompt_tokens: 100,
                generate_tokens: 10,
                depth: 0,
                repetitions: 8,
                warmup: true,
                delay_ms: 0,
                seed: 1,
                parallel: 1,
            },
            program: observed(vec![decode; 8], phases.collect(), Vec::new()),
            graphs: Some(observed(
                Vec::new(),
                Vec::new(),
                vec![
                    graph(Stretch::Prefill, 100, 1000 * MEGABYTE, 700_000 * MEGABYTE),
                    graph(Stretch::Decode, 1, 1000 * MEGABYTE, 2000 * MEGABYTE),
                ],
            )),
            ceilings: Some(Ceilings {
                read_bandwidth_bytes_per_s: vec![peak(25e9)],
                int8_ops: vec![peak(1e12)],
                ..Ceilings::default()
            }),
            cache_bytes: Some(32 * MEGABYTE),
            link: None,
        }
    }

    fn judged(&self) -> ModelProfile {
        profile(&Evidence {
            card: &self.card,
            quantized: true,
            work: &self.work,
            program: &self.program,
            graphs: self.graphs.as_ref(),
            sample_hz: 0,
            ceilings: self.ceilings.as_ref(),
            cores: Some(4),
            cache_bytes: self.cache_bytes,
            link_bytes_per_s: self.link,
            cards: &[],
        })
    }

    /// What bounds a stretch, and how sure that is.
    fn bound(&self, stretch: Stretch) -> (Bound, f64) {
        let profile = self.judged();
        let own = profile.bottlenecks.iter().find(|it| it.stretch == stretch);
        own.map(|it| (it.bound, it.confidence)).expect("the stretch took place")
    }

    fn decode(&mut self) -> impl Iterator<Item = &mut PhaseUse> {
        self.program.phases.iter_mut().filter(|phase| phase.stretch == Stretch::Decode)
    }
}

#[test]
fn generation_at_the_memorys_peak_and_a_prompt_at_the_units_are_bound_by_them() {
    let world = World::new();
    // 1 GB in 50 ms are 20 of 25 GB/s; 700 Gop in a second are 70 % of the units' peak.
    let (bound, sure) = world.bound(Stretch::Decode);
    assert_eq!(bound, Bound::Memory);
    assert!(sure > 0.99, "{sure}");
    assert_eq!(world.bound(Stretch::Prefill).0, Bound::Compute);
    let profile = world.judged();
    let roof = &profile.rooflines[1];
    assert!((roof.bandwidth_share.unwrap() - 0.8).abs() < 1e-9, "{roof:?}");
    assert!((roof.intensity - 2.0).abs() < 1e-9, "{roof:?}");
    // The longer stretch comes first.
    assert_eq!(profile.bottlenecks[0].stretch, Stretch::Prefill);
    assert!((profile.bottlenecks[0].share - 2.0 / 3.0).abs() < 1e-9);
    // 2 W over half a second and ten tokens.
    let joules = profile.phases[1].joules_per_token.unwrap();
    assert!((joules - 0.1).abs() < 1e-9, "{joules}");
}

#[test]
fn parts_are_scaled_to_the_pass_that_nobody_looked_at() {
    let profile = World::new().judged();
    let decode = profile.components.iter().find(|it| it.stretch == Stretch::Decode).unwrap();
    assert!((decode.pass_ms - 50.0).abs() < 1e-9, "{decode:?}");
    assert!((decode.disturbance - 0.04).abs() < 1e-9, "{decode:?}");
    let shares: f64 = decode.parts.iter().map(|part| part.share).sum();
    assert!((shares - 1.0).abs() < 1e-9);
    // 37.5 and 12.5 ms, of which each gives a millisecond back for having been looked at.
    assert!((decode.parts[0].ms - 36.5).abs() < 1e-9, "{decode:?}");
    assert!((decode.parts[1].ms - 11.5).abs() < 1e-9, "{decode:?}");
}

#[test]
fn threads_that_sleep_are_bound_by_waiting() {
    let mut world = World::new();
    world.graphs.as_mut().unwrap().graphs[1] =
        graph(Stretch::Decode, 1, 100 * MEGABYTE, 200 * MEGABYTE);
    assert_eq!(world.bound(Stretch::Decode).0, Bound::Compute, "they compute all the time");
    world.decode().for_each(|phase| phase.cpu_ns /= 4);
    assert_eq!(world.bound(Stretch::Decode).0, Bound::Latency);
}

#[test]
fn weights_that_come_from_a_disk_are_paging() {
    let mut world = World::new();
    world.decode().for_each(|phase| phase.kernel.read_bytes = Some(3000 * MEGABYTE));
    assert_eq!(world.bound(Stretch::Decode).0, Bound::Paging);
    let mut little = World::new();
    little.decode().for_each(|phase| phase.kernel.read_bytes = Some(MEGABYTE));
    assert_eq!(little.bound(Stretch::Decode).0, Bound::Memory);
}

#[test]
fn weights_on_their_way_to_a_card_and_work_on_it_are_told() {
    let mut world = World::new();
    for piece in &mut world.graphs.as_mut().unwrap().graphs[1].pieces {
        piece.device = Some("CUDA0".to_owned());
        piece.copied_bytes = piece.weight_bytes;
    }
    assert_eq!(world.bound(Stretch::Decode).0, Bound::Gpu, "the way is not known");
    world.link = Some(16e9);
    assert_eq!(world.bound(Stretch::Decode).0, Bound::GpuTransfer);
    world.link = Some(500e9);
    assert_eq!(world.bound(Stretch::Decode).0, Bound::Gpu);
}

#[test]
fn a_model_that_fits_the_cache_is_not_bound_by_memory() {
    let mut world = World::new();
    world.ceilings.as_mut().unwrap().read_bandwidth_bytes_per_s = vec![peak(10e9)];
    assert_eq!(world.bound(Stretch::Decode).0, Bound::Memory);
    world.cache_bytes = Some(2000 * MEGABYTE);
    assert_eq!(world.bound(Stretch::Decode).0, Bound::Cache);
}

#[test]
fn without_peaks_or_graphs_nothing_is_claimed() {
    let mut world = World::new();
    world.ceilings = None;
    assert_eq!(world.bound(Stretch::Decode), (Bound::Unknown, 1.0));
    let mut blind = World::new();
    blind.graphs = None;
    // What a token reads is in the header; what a prompt takes is not.
    assert_eq!(blind.bound(Stretch::Decode).0, Bound::Memory);
    assert_eq!(blind.bound(Stretch::Prefill).0, Bound::Unknown);
    let nothing = World { program: observed(Vec::new(), Vec::new(), Vec::new()), ..World::new() };
    let profile = nothing.judged();
    assert!(profile.bottlenecks.is_empty() && profile.components.is_empty());
}

#[test]
fn a_load_that_waited_for_the_disk_says_so() {
    let mut world = World::new();
    let mut load = phase(Stretch::Load, 0, 0, 2000);
    (load.cpu_ns, load.kernel.read_bytes) = (200 * MEGABYTE, Some(1000 * MEGABYTE));
    world.program.phases.push(load.clone());
    let (bound, sure) = world.bound(Stretch::Load);
    assert_eq!(bound, Bound::Io);
    assert!(sure > 0.99, "{sure}");
    load.kernel.read_bytes = Some(0);
    *world.program.phases.last_mut().unwrap() = load;
    assert!(world.judged().bottlenecks.iter().all(|it| it.stretch != Stretch::Load));
}
