//! [`Llama`]: keeps what the next job can use again, and makes the rest.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::backend::{self, Backend};
use super::context::Context;
use super::crew::Crew;
use super::importance::Collector;
use super::model::{Model, Weights};
use super::observe::{self, Observer};
use super::pieces::Watcher;
use super::speakers::Speakers;
use super::{
    Modules, devices, forecast, graph, log, memory, refuse, score, self_test, surroundings, work,
};
use crate::api::{
    Answer, ContextSetting, DeviceReport, Devices, Engine, Failure, FlashAttention, Forecast,
    GpuLayers, GraphUse, Identity, Job, LoadMode, LoadSetting, MemoryUse, Observed, ProcessSetting,
    ProfileJob, Run, Sample, Setting, Speaker, Stretch, ThreadSetting, Toggle, Transition,
    VariantFault, VariantReport, VariantVerdict, Watch,
};
use crate::counters::{Counters, Whom};

/// llama.cpp in this process. An assertion in it ends the process, and nothing ends a job early.
#[derive(Debug, Default)]
pub struct Llama {
    // In the order in which they must go.
    context: Option<(ContextSetting, Context)>,
    model: Option<(ModelKey, Arc<Model>)>,
    /// A model whose weights are only counted.
    counted: Option<(ModelKey, Arc<Model>)>,
    /// Whoever was compared last.
    pub(super) speakers: Speakers,
    /// The importance matrix that grows, with the context that it is seen in.
    pub(super) importance: Option<(Speaker, Context, Arc<Mutex<Collector>>)>,
    backend: Option<Backend>,
}

/// What makes two loads the same one. A file that was written anew is another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelKey {
    path: PathBuf,
    written: Option<(SystemTime, u64)>,
    setting: LoadSetting,
}

impl ModelKey {
    pub(super) fn of(path: &Path, setting: &LoadSetting) -> Self {
        let metadata = std::fs::metadata(path).ok();
        let written = metadata.and_then(|found| Some((found.modified().ok()?, found.len())));
        Self { path: path.to_owned(), written, setting: setting.clone() }
    }
}

impl Llama {
    /// Makes this process one of that CPU variant and NUMA strategy, for ever.
    pub fn start(setting: &ProcessSetting) -> Result<Self, Failure> {
        let backend = Some(Backend::start(setting)?);
        Ok(Self { backend, ..Self::default() })
    }

    pub(super) fn backend(&mut self, setting: &ProcessSetting) -> Result<Backend, Failure> {
        let backend = Backend::start(setting)?;
        Ok(self.backend.insert(backend).clone())
    }

    /// What this process was asked to be, if it is anything yet.
    pub(super) fn backend_setting(&self) -> Option<ProcessSetting> {
        self.backend.as_ref().map(Backend::asked)
    }

    /// Frees what jobs of speed left: whoever comes now needs the memory.
    pub(super) fn forget_models(&mut self) {
        self.context = None;
        self.model = None;
        self.counted = None;
        self.importance = None;
    }

    /// The model as the job wants it; how long that took if it was not there already.
    fn model(&mut self, job: &Job, backend: &Backend) -> Result<Option<u64>, Failure> {
        let key = ModelKey::of(&job.model, &job.setting.load);
        if self.model.as_ref().is_some_and(|(loaded, _)| *loaded == key) {
            return Ok(None);
        }
        // The old one goes first: two at once may be more than there is memory.
        self.context = None;
        self.model = None;
        self.speakers.leave();
        self.importance = None;
        memory::begin_anew();
        let started = Instant::now();
        let model = Model::load(&job.model, &job.setting.load, backend, Weights::Read)?;
        if !model.generates() {
            return Err(Failure::refused("the model cannot generate text"));
        }
        self.model = Some((key, Arc::new(model)));
        Ok(Some(nanoseconds(started.elapsed())))
    }

    /// The model with its weights counted only.
    fn counted(
        &mut self,
        path: &Path,
        setting: &LoadSetting,
        backend: &Backend,
    ) -> Result<Arc<Model>, Failure> {
        let key = ModelKey::of(path, setting);
        if let Some((known, model)) = &self.counted
            && *known == key
        {
            return Ok(Arc::clone(model));
        }
        self.counted = None;
        let model = Arc::new(Model::load(path, setting, backend, Weights::Counted)?);
        self.counted = Some((key, Arc::clone(&model)));
        Ok(model)
    }

    /// The context as the job wants it; how long that took if it was not there already.
    fn context(&mut self, asked: &ContextSetting) -> Result<Option<u64>, Failure> {
        if self.context.as_ref().is_some_and(|(made, _)| made == asked) {
            return Ok(None);
        }
        if self.context.take().is_some() {
            // The old one is not this setting's; what the load took before it would be.
            memory::begin_anew();
        }
        let (_, model) = self.model.as_ref().expect("a context is asked for after its model");
        let started = Instant::now();
        self.context = Some((asked.clone(), Context::new(model, asked)?));
        Ok(Some(nanoseconds(started.elapsed())))
    }

    /// Works in the context that was made, on a thread of its own: making a pool binds the thread
    /// it is made on, and so does every thread made from that one. With it all of that ends.
    fn work<T: Send>(
        &mut self,
        job: &Job,
        work: impl FnOnce(&mut Context) -> Result<T, Failure> + Send,
    ) -> Result<(T, Done), Failure> {
        let (_, context) = self.context.as_mut().expect("work is asked for after its context");
        let done = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                context.attach(&job.setting.threads)?;
                let result = work(context)?;
                let crew = context.crew();
                context.rest();
                let graph = graph::last(context);
                Ok((result, Done { memory: memory::in_use(context), crew, graph }))
            });
            worker.join()
        });
        let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if done.is_err() {
            // What a failed computation leaves behind is anybody's guess.
            self.context = None;
        }
        done
    }

    /// The model of a job, loaded; how long that took if it was not there already.
    fn load(&mut self, job: &Job) -> Result<(Backend, Option<u64>), Failure> {
        refuse::check(job)?;
        log::capture();
        memory::forget_peak();
        let backend = self.backend(&job.setting.process)?;
        let load_ns = self.model(job, &backend)?;
        Ok((backend, load_ns))
    }

    /// Everything that stands before the work; what loading and making a context took.
    fn prepare(&mut self, job: &Job) -> Result<(Backend, Transition), Failure> {
        let (backend, load_ns) = self.load(job)?;
        let context_ns = self.context(&job.setting.context)?;
        Ok((backend, Transition { process_ns: None, load_ns, context_ns }))
    }

    /// What a job reports that was done.
    fn report(
        &self,
        job: &Job,
        backend: &Backend,
        transition: Transition,
        (samples, answers): (Vec<Sample>, Vec<Answer>),
        done: Done,
    ) -> Run {
        let effective = self.effective(job, backend, &done);
        let (_, model) = self.model.as_ref().expect("a job that ran has a model");
        let mut caveats = caveats(&job.setting, &effective);
        caveats.extend(
            done.graph.iter().flat_map(|graph| left_behind(&effective, model.layers(), graph)),
        );
        caveats.extend(surroundings::doubts(&effective.process, effective.load.load_mode));
        Run {
            caveats,
            effective,
            samples,
            answers,
            graph: done.graph,
            memory: done.memory,
            model: model.facts(),
            transition,
        }
    }

    /// The work under observation, as it is.
    fn observed(
        &mut self,
        job: &Job,
        sample_hz: u32,
        enough: Duration,
    ) -> Result<Observed, Failure> {
        // Before anything is loaded: threads that begin later are counted with this one.
        let mut observer = Observer::new(Counters::open(Whom::Caller));
        let (backend, transition) = self.prepare(job)?;
        let loaded = [transition.load_ns, transition.context_ns];
        if loaded[0].is_some() {
            let elapsed = loaded.into_iter().flatten().fold(0, u64::saturating_add);
            observer.end(Stretch::Load, 0, 0, false, Some(elapsed));
        }
        let (seen, done) = self.work(job, |context| {
            observe::program(context, &job.work, sample_hz, enough, &mut observer)
        })?;
        let run = self.report(job, &backend, transition, (seen.samples, seen.answers), done);
        let mut unseen = seen.unseen;
        let text = seen.text.map_err(|why| unseen.push(why)).ok();
        Ok(Observed {
            phases: observer.phases,
            functions: seen.functions.functions,
            cache_misses: seen.cache_misses.functions,
            sampled_event: seen.event,
            lost_samples: seen.functions.lost,
            text,
            unseen,
            ..Observed::nothing_of(run)
        })
    }

    /// The graphs of the work, in a context of their own: the usual one must not be watched, and two
    /// at once may be more than there is memory.
    fn taken_apart(&mut self, job: &Job, detail: bool) -> Result<Observed, Failure> {
        let (backend, load_ns) = self.load(job)?;
        self.context = None;
        let (_, model) = self.model.as_ref().expect("a model was loaded");
        let watcher = Arc::new(Mutex::new(Watcher::default()));
        let asked = &job.setting.context;
        let context = Context::watched(model, asked, Arc::clone(&watcher))?;
        let ubatch = context.effective(asked).ubatch;
        self.context = Some((asked.clone(), context));
        let ((graphs, unseen), done) = self.work(job, |context| {
            Ok(observe::graphs(context, &watcher, &job.work, ubatch, detail))
        })?;
        let transition = Transition { load_ns, ..Transition::default() };
        let run = self.report(job, &backend, transition, (Vec::new(), Vec::new()), done);
        self.context = None;
        Ok(Observed { graphs, unseen, ..Observed::nothing_of(run) })
    }

    fn effective(&self, job: &Job, backend: &Backend, done: &Done) -> Setting {
        let (_, model) = self.model.as_ref().expect("a job that ran has a model");
        let (_, context) = self.context.as_ref().expect("a job that ran has a context");
        // The output layer counts as one.
        let most = model.layers() + 1;
        let gpu_layers = match job.setting.load.gpu_layers {
            _ if !backend.offloads => 0,
            GpuLayers::All => most,
            GpuLayers::Count(count) => count.min(most),
        };
        let mapped = done.memory.buffers.iter().any(|buffer| buffer.name.ends_with("_Mapped"));
        let load_mode = match job.setting.load.load_mode {
            LoadMode::Auto if mapped => LoadMode::Mmap,
            LoadMode::Auto => LoadMode::None,
            mode => mode,
        };
        Setting {
            process: backend.setting.clone(),
            load: LoadSetting {
                gpu_layers: GpuLayers::Count(gpu_layers),
                load_mode,
                cpu_experts: job.setting.load.cpu_experts.min(model.layers()),
                ..job.setting.load.clone()
            },
            context: context.effective(&job.setting.context),
            threads: threads(&job.setting.threads, &done.crew),
        }
    }
}

/// What is left of a job that was done.
struct Done {
    memory: MemoryUse,
    crew: Crew,
    graph: Option<GraphUse>,
}

/// The threads as the kernel has them, where it tells. A mask that nobody asked for is none.
fn threads(asked: &ThreadSetting, crew: &Crew) -> ThreadSetting {
    let real = asked.cpu_mask.as_ref().and_then(|mask| {
        // Bound threads that are fewer than the CPUs leave some of these alone.
        let within = asked.strict == Toggle::On
            && mask.cpus().collect::<BTreeSet<_>>().is_superset(&crew.cpus);
        if within { Some(mask.clone()) } else { crew.mask() }
    });
    ThreadSetting {
        cpu_mask: real.or_else(|| asked.cpu_mask.clone()),
        priority: crew.priority().unwrap_or(asked.priority),
        ..asked.clone()
    }
}

impl Engine for Llama {
    fn identity(&mut self) -> Result<Identity, Failure> {
        Ok(backend::identity())
    }

    /// Tests the variant that this process runs with; about the others it knows only the score.
    fn variants(&mut self, weight_types: &[String]) -> Result<Vec<VariantReport>, Failure> {
        let modules = Modules::find()?;
        let own = self.backend.as_ref().and_then(|backend| backend.setting.isa_variant.clone());
        let report = |(name, score): (String, i32)| {
            let verdict = match score {
                0 => VariantVerdict::Unsupported,
                _ if own.as_ref() == Some(&name) => self_test::verdict(weight_types),
                _ => VariantVerdict::Failed {
                    fault: VariantFault::Untested,
                    reason: "not tried: needs its own process".into(),
                },
            };
            VariantReport { name, score, verdict }
        };
        Ok(score::scores(&modules).into_iter().map(report).collect())
    }

    fn devices(&mut self) -> Result<Vec<DeviceReport>, Failure> {
        match &self.backend {
            Some(_) => Ok(devices::registered()),
            None => devices::devices(&[]),
        }
    }

    fn devices_with(&mut self, servers: &[String]) -> Result<Vec<DeviceReport>, Failure> {
        devices::devices(servers)
    }

    /// The deadline is left to whoever holds this process.
    fn run(&mut self, job: &Job, _deadline: Duration) -> Result<Run, Failure> {
        let (backend, transition) = self.prepare(job)?;
        let (measured, done) = self.work(job, |context| work::run(context, &job.work))?;
        Ok(self.report(job, &backend, transition, measured, done))
    }

    /// The deadline is left to whoever holds this process.
    fn profile(&mut self, job: &ProfileJob, _deadline: Duration) -> Result<Observed, Failure> {
        match job.watch {
            Watch::Program { sample_hz, enough_ms } => {
                self.observed(&job.job, sample_hz, Duration::from_millis(enough_ms))
            }
            Watch::Graph { detail } => self.taken_apart(&job.job, detail),
        }
    }

    fn forecast(&mut self, model: &Path, setting: &Setting) -> Result<Forecast, Failure> {
        refuse::check_setting(setting)?;
        log::capture();
        let backend = self.backend(&setting.process)?;
        let counted = self.counted(model, &setting.load, &backend)?;
        forecast::forecast(&counted, model, setting)
    }

    /// Settings of one load in a row share the counted model.
    fn reservations(
        &mut self,
        model: &Path,
        settings: &[Setting],
    ) -> Result<Vec<Result<Forecast, Failure>>, Failure> {
        log::capture();
        let mut reserved = |setting: &Setting| {
            refuse::check_setting(setting)?;
            let backend = self.backend(&setting.process)?;
            let counted = self.counted(model, &setting.load, &backend)?;
            forecast::reservation(&counted, model, setting)
        };
        Ok(settings.iter().map(&mut reserved).collect())
    }
}

/// What was to be computed on devices and was not: a device has no kernel for it, or no buffer
/// that is large enough.
fn left_behind(effective: &Setting, layers: u32, graph: &GraphUse) -> Vec<String> {
    let mut caveats = Vec::new();
    let load = &effective.load;
    let GpuLayers::Count(asked) = load.gpu_layers else { return caveats };
    // Who places tensors or names no device has it as asked.
    if load.devices == Devices::None || !load.overrides.is_empty() {
        return caveats;
    }
    let (here, behind) = (graph.layers_on_devices, graph.attention_left_behind);
    if behind > 0 && effective.context.kv_offload == Toggle::On {
        caveats.push(format!(
            "the processor computed the attention of {behind} of the {here} layers on devices ({} \
             pieces of graph)",
            graph.splits
        ));
    }
    let wanted = asked.saturating_sub(1).min(layers);
    if here < wanted {
        caveats.push(format!(
            "the processor computed {} of the {wanted} layers that were to be on devices",
            wanted - here
        ));
    }
    if asked > 0 && !graph.output_on_device {
        caveats.push("the processor computed the output, which was to be on a device".to_owned());
    }
    caveats
}

/// Where the engine did something else than it was asked to.
fn caveats(asked: &Setting, effective: &Setting) -> Vec<String> {
    let mut caveats = Vec::new();
    let mut changed = |name: &str, asked: &dyn fmt::Display, became: &dyn fmt::Display| {
        caveats.push(format!("{name} {asked} was asked for, but the engine used {became}"));
    };
    if asked.context.ubatch != effective.context.ubatch {
        changed("ubatch", &asked.context.ubatch, &effective.context.ubatch);
    }
    if asked.context.batch != effective.context.batch {
        changed("batch", &asked.context.batch, &effective.context.batch);
    }
    match (asked.load.gpu_layers, effective.load.gpu_layers) {
        (GpuLayers::Count(a), GpuLayers::Count(b)) if a != b => changed("gpu-layers", &a, &b),
        _ => {}
    }
    if asked.context.flash_attention != FlashAttention::Auto
        && asked.context.flash_attention != effective.context.flash_attention
    {
        let became = effective.context.flash_attention;
        changed("flash-attention", &asked.context.flash_attention, &became);
    }
    if asked.process.nice != effective.process.nice {
        changed("nice", &asked.process.nice, &effective.process.nice);
    }
    if asked.load.cpu_experts != effective.load.cpu_experts {
        changed("n-cpu-moe", &asked.load.cpu_experts, &effective.load.cpu_experts);
    }
    if asked.threads.priority != effective.threads.priority {
        changed("priority", &asked.threads.priority, &effective.threads.priority);
    }
    if let (Some(asked), Some(real)) = (&asked.threads.cpu_mask, &effective.threads.cpu_mask)
        && asked != real
    {
        changed("cpu-mask", asked, real);
    }
    caveats
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
