//! What the tables that only some machines have do to the truth.

use std::path::Path;

use super::{Truth, World};
use crate::api::{
    ContextSetting, CpuMask, Failure, GpuLayers, KvType, LoadMode, LoadSetting, MemoryPolicy, Numa,
    Priority, ProcessSetting, Setting, ThreadSetting, Toggle, Work,
};

const QUIET: &str = include_str!("../../../tests/worlds/quiet-8c.toml");

/// The quiet machine with more tables.
fn with(tables: &str) -> World {
    World::parse(&format!("{QUIET}\n{tables}"), Path::new("world.toml")).unwrap()
}

fn setting(threads: u32) -> Setting {
    let load = LoadSetting { gpu_layers: GpuLayers::Count(0), ..LoadSetting::default() };
    Setting {
        process: ProcessSetting::default(),
        load,
        context: ContextSetting::default(),
        threads: ThreadSetting::of(threads),
    }
}

fn changed(threads: u32, change: impl FnOnce(&mut Setting)) -> Setting {
    let mut setting = setting(threads);
    change(&mut setting);
    setting
}

fn work(prompt_tokens: u32, generate_tokens: u32, depth: u32) -> Work {
    Work {
        prompt_tokens,
        generate_tokens,
        depth,
        repetitions: 1,
        warmup: false,
        delay_ms: 0,
        seed: 0,
        parallel: 1,
    }
}

fn truth(world: &World, setting: &Setting) -> Truth {
    world.truth(setting, &work(1024, 4, 0)).unwrap()
}

/// Seconds for a prompt token and for a generated one.
fn pace(world: &World, setting: &Setting) -> (f64, f64) {
    let truth = truth(world, setting);
    (truth.prefill_s, truth.decode_s())
}

#[test]
fn slow_cores_hold_the_fast_ones_up() {
    let hybrid =
        |drag: f64| with(&format!("[hybrid]\nslow_cores = 8\nslow_speed = 0.4\ndrag = {drag}"));
    let world = hybrid(1.0);
    let prefill = |world: &World, threads| pace(world, &setting(threads)).0;
    assert!(prefill(&world, 9) > 2.0 * prefill(&world, 8));
    assert!(prefill(&world, 16) > prefill(&world, 8));
    assert!(prefill(&hybrid(0.0), 16) < 0.8 * prefill(&world, 8));
    // CPUs 0 to 7 are the fast cores: a mask keeps the threads there, two to a core.
    let fast = CpuMask::new((0..8).chain(8..16));
    let masked = changed(16, |setting| setting.threads.cpu_mask = fast);
    assert!(pace(&world, &masked).0 < prefill(&world, 8));
    assert_eq!(world.usable_threads(), 24);
}

#[test]
fn one_node_can_be_better_than_two_and_interleaving_best() {
    let world =
        with("[numa]\nnodes = 2\nlink_speed = 0.4\ncrossing_s = 0.0005\ntouched_local = 0.8");
    let decode = |setting: &Setting| pace(&world, setting).1;
    let two = setting(8);
    let one = changed(4, |setting| setting.threads.cpu_mask = CpuMask::new(0..4));
    let turns = changed(8, |it| it.process.memory_policy = MemoryPolicy::Interleave);
    let own = changed(8, |it| it.process.numa = Numa::Distribute);
    assert!(decode(&one) < decode(&two));
    assert!(decode(&turns) < decode(&one));
    assert!(decode(&own) < decode(&turns));
    let far = changed(4, |setting| {
        setting.threads.cpu_mask = CpuMask::new(0..4);
        setting.process.memory_policy = MemoryPolicy::Bind(1);
    });
    assert!(decode(&far) > 2.0 * decode(&one));
    let nowhere = changed(4, |it| it.process.memory_policy = MemoryPolicy::Bind(2));
    let failure = world.truth(&nowhere, &work(1, 1, 0)).unwrap_err();
    assert!(failure.to_string().contains("no memory node 2"), "{failure}");
    let outside = changed(1, |it| it.threads.cpu_mask = CpuMask::new([99]));
    assert!(world.truth(&outside, &work(1, 1, 0)).is_err());
}

#[test]
fn one_thread_too_many_is_a_cliff_under_a_quota() {
    let text = QUIET
        .replace("contention_s = 4e-3", "contention_s = 4e-3\nquota_cores = 2.5\ncollapse = 3.0");
    let world = World::parse(&text, Path::new("world.toml")).unwrap();
    assert_eq!(world.usable_threads(), 3);
    let decode = |threads| pace(&world, &setting(threads)).1;
    assert!(decode(3) < decode(1));
    assert!(decode(4) > 3.0 * decode(3));
    let free = pace(&with(""), &setting(3)).1;
    assert!((decode(3) / free - 3.0 / 2.5).abs() < 1e-9, "the quota takes its share");
}

#[test]
fn waiting_priority_and_neighbours_cost_what_they_are_told_to() {
    let polled = with("[polling]\nwake_s = 0.01\nspin_loss = 0.1");
    let poll = |level| pace(&polled, &changed(4, |it| it.threads.poll = level)).1;
    assert!(poll(0) > poll(50) && poll(100) < poll(0));
    let alone = |level| pace(&polled, &changed(1, |it| it.threads.poll = level)).1;
    assert!(alone(100) > alone(0), "nobody waits for one thread, which spins all the same");
    let shared = with("[background]\nshare = 0.2\nrealtime = true");
    let priority = |level| pace(&shared, &changed(4, |it| it.threads.priority = level)).1;
    assert!((priority(Priority::Normal) / priority(Priority::Medium) - 1.25).abs() < 1e-9);
    assert!(priority(Priority::Low) > priority(Priority::Normal));
    let refused = with("[background]\nshare = 0.2\nrealtime = false");
    let high = changed(4, |it| it.threads.priority = Priority::High);
    assert!(refused.truth(&high, &work(1, 1, 0)).is_err());
}

#[test]
fn loads_cost_time_and_bring_speed() {
    let world = with(
        "[repack]\nprefill_speed = 1.5\ndecode_speed = 1.0\nload_s = 2.0\n\
         [[load_modes]]\nmode = \"none\"\nload_s = 1.0\nbandwidth = 1.1",
    );
    let unpacked = |threads, change: fn(&mut Setting)| {
        let mut setting = changed(threads, change);
        setting.load.repack = Toggle::Off;
        setting
    };
    let plain = unpacked(4, |_| ());
    let packed = setting(4);
    let read = unpacked(4, |it| it.load.load_mode = LoadMode::None);
    assert!(pace(&world, &packed).0 < 0.8 * pace(&world, &plain).0);
    assert!(pace(&world, &read).1 < pace(&world, &plain).1);
    let load_s = |to: &Setting| world.switch(None, to).load_s.unwrap();
    assert!((load_s(&packed) - load_s(&plain) - 2.0).abs() < 1e-9);
    assert!((load_s(&read) - load_s(&plain) - 1.0).abs() < 1e-9);
    assert!(world.switch(Some(&plain), &plain).total_s().abs() < f64::EPSILON);
    let threads = unpacked(2, |_| ());
    assert!(world.switch(Some(&plain), &threads).total_s().abs() < f64::EPSILON);
    assert!(world.switch(Some(&plain), &packed).process_s.is_none());
}

#[test]
fn attention_grows_with_depth_and_a_quantized_cache_reads_less_and_computes_more() {
    let world = with("[attention]\noperations = 262144.0\nquantized_speed = 0.8");
    let at = |depth, kind| {
        let setting = changed(8, |it| {
            (it.context.type_k, it.context.type_v) = (kind, kind);
            it.context.context = 32_768;
        });
        world.truth(&setting, &work(512, 4, depth)).unwrap()
    };
    let near = at(0, KvType::F16).prefill_s;
    let [half, whole] = [8192, 16_384].map(|depth| at(depth, KvType::F16).prefill_s - near);
    assert!((whole / half - 2.0).abs() < 1e-6, "{half} {whole}");
    let deep = |kind| at(16_384, kind).decode_s();
    assert!(deep(KvType::Q8_0) < deep(KvType::F16));
    assert!(at(16_384, KvType::F16).fill_s > at(8192, KvType::F16).fill_s);
}

const CARD: &str = "[gpu]\nname = \"CUDA0\"\ndescription = \"a card\"\nbackend = \"CUDA\"\n\
     memory_bytes = 900_000_000\ncontext_bytes = 100_000_000\nflops = 10e12\n\
     bandwidth_bytes_per_s = 400e9\nlaunch_s = 5e-6\nlink_bytes_per_s = 12e9\n\
     crossing_s = 200e-6\nactivation_bytes = 8192\nbest_ubatch = 512\nubatch_loss = 0.05\n";

fn layers(count: u32) -> Setting {
    changed(4, |it| it.load.gpu_layers = GpuLayers::Count(count))
}

#[test]
fn time_is_linear_in_layers_until_the_last_one_and_the_card_has_an_edge() {
    let world = with(&CARD.replace("900_000_000", "2_000_000_000"));
    let decode = |count| pace(&world, &layers(count)).1;
    let step = |count| decode(count) - decode(count + 1);
    for count in 2..15 {
        assert!((step(count) / step(2) - 1.0).abs() < 0.02, "{count}");
    }
    assert!(step(16) > 1.2 * step(2), "with the last layer nothing is handed over any more");
    assert!(decode(17) < 0.2 * decode(0));
    let small = with(CARD);
    let fits = |count| small.truth(&layers(count), &work(64, 1, 0));
    assert!(fits(8).is_ok());
    assert!(matches!(fits(17), Err(Failure::OutOfMemory { .. })));
    let shared = with(&CARD.replace("900_000_000", "9_000_000_000\nshares_memory = true"));
    let full = shared.truth(&layers(17), &work(64, 1, 0)).unwrap();
    assert_eq!(full.effective.load.gpu_layers, GpuLayers::Count(17));
    let none = changed(4, |it| {
        it.load.gpu_layers = GpuLayers::All;
        it.load.devices = crate::api::Devices::None;
    });
    let without = shared.truth(&none, &work(64, 1, 0)).unwrap();
    assert_eq!(without.effective.load.gpu_layers, GpuLayers::Count(0));
}

#[test]
fn what_is_sent_to_a_card_and_what_stays_depends_on_the_batch() {
    let world = with(&CARD.replace("link_bytes_per_s = 12e9", "link_bytes_per_s = 1e9"));
    let at = |ubatch, toggle| {
        let mut setting = layers(4);
        (setting.context.ubatch, setting.context.op_offload) = (ubatch, toggle);
        world.truth(&setting, &work(512, 1, 0)).unwrap().prefill_s
    };
    assert!(at(512, Toggle::On) < at(512, Toggle::Off), "a large batch pays the way");
    assert!(at(32, Toggle::On) > at(32, Toggle::Off), "a small one does not");
    let mut away = layers(4);
    away.context.kv_offload = Toggle::Off;
    assert!(pace(&world, &away).1 > pace(&world, &layers(4)).1);
}

#[test]
fn experts_can_stay_behind_where_the_rest_fits() {
    let experts =
        "[experts]\ncount = 32\nused = 4\nsize_bytes = 700_000_000\nbytes_per_token = 90_000_000\n";
    let text = QUIET.replace("bytes_per_token = 760_000_000", "bytes_per_token = 190_000_000");
    let text = format!("{text}\n{CARD}\n{experts}");
    let world = World::parse(&text, Path::new("world.toml")).unwrap();
    let with_experts = |on_host| {
        changed(4, |it| {
            it.load.gpu_layers = GpuLayers::All;
            it.load.cpu_experts = on_host;
        })
    };
    assert!(matches!(
        world.truth(&with_experts(0), &work(64, 1, 0)),
        Err(Failure::OutOfMemory { .. })
    ));
    let decode = |setting: &Setting| world.truth(setting, &work(64, 4, 0)).unwrap().decode_s();
    assert!(decode(&with_experts(12)) < decode(&with_experts(16)));
    assert!(decode(&with_experts(12)) < decode(&layers(0)));
}

#[test]
fn parts_that_make_no_machine_are_refused() {
    for (tables, message) in [
        ("[hybrid]\nslow_cores = 8\nslow_speed = 0.4\ndrag = 2.0", "`hybrid.drag` must be a share"),
        ("[background]\nshare = 0.5\nrealtime = true", "`background.share` must be"),
        ("[experts]\ncount = 4\nused = 5\nsize_bytes = 1\nbytes_per_token = 1", "`experts.used`"),
        (
            "[experts]\ncount = 4\nused = 1\nsize_bytes = 900_000_000\nbytes_per_token = 1",
            "part of",
        ),
        ("[gpu]\nname = 3", "`gpu.name`: invalid type"),
        ("[polling]\nwake_s = 0.0\nspin_loss = 0.1\nmore = 1", "`polling.more`: unknown field"),
    ] {
        let text = format!("{QUIET}\n{tables}");
        let error = World::parse(&text, Path::new("m.toml")).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn peaks_are_what_the_threads_could_do_without_waiting() {
    let world = with("");
    let machine = world.machine;
    let one = world.peak(1);
    assert!((one.flops / machine.core_flops - 1.0).abs() < 1e-12);
    assert!((one.bandwidth_bytes_per_s / machine.core_bandwidth_bytes_per_s - 1.0).abs() < 1e-12);
    let all = world.peak(machine.cores * machine.smt);
    assert!(all.bandwidth_bytes_per_s <= machine.bandwidth_bytes_per_s);
    assert!(all.flops > one.flops * f64::from(machine.cores) * 0.999);
    let (_, decode) = pace(&world, &setting(machine.cores));
    let roof = world.peak(machine.cores).bandwidth_bytes_per_s / world.model.bytes_per_token as f64;
    assert!(1.0 / decode <= roof, "nothing generates faster than the memory delivers");
}
