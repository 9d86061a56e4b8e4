//! [`WorkerEngine`]: one resident worker per process setting, replaced when it dies.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::cancel::Canceller;
use super::process::Process;
use super::protocol::{Answer, Ask};
use crate::api::{
    DeviceRates, DeviceReport, Engine, Failure, Forecast, Identity, Job, Observed, ProcessSetting,
    ProfileJob, Run, Setting, VariantFault, VariantReport, VariantVerdict,
};

/// How long questions may take that measure nothing: loading modules from a cold disk included.
const SHORT: Duration = Duration::from_secs(60);
/// Forecasts that are remembered.
const MOST_FORECASTS: usize = 4096;
/// Prefixes of variables that change what an engine does without a word.
pub const STRIPPED: [&str; 5] = ["GGML_", "LLAMA_", "OMP_", "GOMP_", "KMP_"];
/// Variables that pass all the same: they name the devices that there are, as
/// `CUDA_VISIBLE_DEVICES` does.
pub const PASSED: [&str; 1] = ["GGML_VK_VISIBLE_DEVICES"];

/// How workers are kept.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Workers that stay, each with its model loaded. 2 let two settings of different processes
    /// take turns without loading anew.
    pub resident: usize,
    /// Variables for the worker in addition to what it inherits, whatever their prefix.
    pub environment: Vec<(OsString, OsString)>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self { resident: 1, environment: Vec::new() }
    }
}

/// llama.cpp in child processes.
#[derive(Debug)]
pub struct WorkerEngine {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
    limit: usize,
    /// Most recently used last.
    residents: Vec<Resident>,
    /// Foresees memory: a process of its own, so that nothing that a job left is counted.
    forecaster: Option<Resident>,
    forecasts: BTreeMap<(FileKey, Setting), Forecast>,
    verdicts: BTreeMap<(String, Vec<String>), VariantVerdict>,
    scores: Option<Vec<(String, i32)>>,
    identity: Option<Identity>,
    last_log: Vec<String>,
    canceller: Canceller,
    types: BTreeMap<FileKey, Vec<String>>,
}

/// A file, and which writing of it.
type FileKey = (PathBuf, Option<(SystemTime, u64)>);

#[derive(Debug)]
struct Resident {
    setting: ProcessSetting,
    process: Process,
}

impl WorkerEngine {
    /// An engine whose workers are `<program> worker`, inheriting this process's environment
    /// without what would change their results. No process is started before it is needed.
    #[must_use]
    pub fn new(program: &Path, options: WorkerOptions) -> Self {
        Self {
            program: program.to_owned(),
            environment: cleaned(std::env::vars_os(), options.environment),
            limit: options.resident.max(1),
            residents: Vec::new(),
            forecaster: None,
            forecasts: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            scores: None,
            identity: None,
            last_log: Vec::new(),
            canceller: Canceller::default(),
            types: BTreeMap::new(),
        }
    }

    /// Ends what this engine does, from another thread.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// The environment that every worker gets.
    pub fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Process ids of the resident workers, most recently used last.
    pub fn worker_ids(&self) -> impl Iterator<Item = u32> {
        self.residents.iter().map(|resident| resident.process.pid())
    }

    /// Ends all resident workers, and with them frees their models.
    pub fn release(&mut self) {
        self.forecaster = None;
        self.residents.clear();
    }

    /// The last lines that the worker of the last job wrote.
    #[must_use]
    pub fn log(&self) -> &[String] {
        &self.last_log
    }

    /// The CPU variant that a job gets which names none: the best by score of those that multiply
    /// rightly in the model's own types.
    pub fn best_variant(&mut self, model: &Path) -> Result<String, Failure> {
        self.best_variant_for(&[model])
    }

    /// The same for several models that share a process.
    pub fn best_variant_for(&mut self, models: &[&Path]) -> Result<String, Failure> {
        let mut weight_types = Vec::new();
        for model in models {
            weight_types.extend(self.weight_types(model)?);
        }
        let mut reasons = Vec::new();
        for (variant, score) in self.scores()? {
            if score <= 0 {
                continue;
            }
            match self.verdict(&variant, &weight_types)? {
                VariantVerdict::Usable => return Ok(variant),
                VariantVerdict::Failed { reason, .. } => {
                    reasons.push(format!("{variant}: {reason}"));
                }
                VariantVerdict::Unsupported => {}
            }
        }
        let mut reason = "no CPU variant can be used here".to_owned();
        if !reasons.is_empty() {
            reason = format!("{reason} ({})", reasons.join("; "));
        }
        Err(Failure::refused(reason))
    }

    /// The types of a model file's tensors, by ggml's names (`"Q4_K"`, `"F16"`).
    pub fn weight_types(&mut self, model: &Path) -> Result<Vec<String>, Failure> {
        let key = file_key(model);
        let model = key.0.clone();
        if let Some(types) = self.types.get(&key) {
            return Ok(types.clone());
        }
        match self.once(Ask::WeightTypes { model })? {
            Answer::WeightTypes(types) => {
                self.types.insert(key, types.clone());
                Ok(types)
            }
            other => Err(mismatch(&other)),
        }
    }

    /// What graphics cards reach through their backends, or with `processor` the CPU device, in a
    /// process of its own. An entry per device; none without one.
    pub fn device_rates(
        &mut self,
        processor: bool,
        deadline: Duration,
    ) -> Result<Vec<DeviceRates>, Failure> {
        let mut isa_variant = None;
        for (variant, score) in self.scores()? {
            let types = ["F16".to_owned()];
            if score > 0 && self.verdict(&variant, &types)? == VariantVerdict::Usable {
                isa_variant = Some(variant);
                break;
            }
        }
        let setting = ProcessSetting { isa_variant, ..ProcessSetting::default() };
        let mut process = Process::start(&self.program, &self.environment, &self.canceller)?;
        match process.ask(Ask::DeviceRates { setting, processor }, deadline)? {
            Answer::DeviceRates(rates) => Ok(rates),
            other => Err(mismatch(&other)),
        }
    }

    fn scores(&mut self) -> Result<Vec<(String, i32)>, Failure> {
        if let Some(scores) = &self.scores {
            return Ok(scores.clone());
        }
        match self.once(Ask::Scores)? {
            Answer::Scores(scores) => Ok(self.scores.insert(scores).clone()),
            other => Err(mismatch(&other)),
        }
    }

    /// Tries a variant in a process of its own, once for the same types.
    fn verdict(
        &mut self,
        variant: &str,
        weight_types: &[String],
    ) -> Result<VariantVerdict, Failure> {
        let mut types = weight_types.to_vec();
        types.sort();
        types.dedup();
        let key = (variant.to_owned(), types);
        if let Some(verdict) = self.verdicts.get(&key) {
            return Ok(verdict.clone());
        }
        let mut verdict = self.self_test(&key)?;
        if matches!(verdict, VariantVerdict::Failed { fault: VariantFault::Untested, .. }) {
            // The machine's mood, not the variant's: a full process table, a long stall.
            verdict = self.self_test(&key)?;
        }
        self.verdicts.insert(key, verdict.clone());
        Ok(verdict)
    }

    /// Tries a variant once. An error is one of this engine, not of the variant.
    fn self_test(&self, key: &(String, Vec<String>)) -> Result<VariantVerdict, Failure> {
        let ask = Ask::SelfTest { variant: key.0.clone(), weight_types: key.1.clone() };
        match self.once(ask) {
            Ok(Answer::SelfTest(verdict)) => Ok(verdict),
            Ok(other) => Err(mismatch(&other)),
            Err(failure) if self.canceller.cancelled() => Err(failure),
            Err(failure) => Ok(VariantVerdict::Failed {
                fault: VariantFault::of(&failure),
                reason: failure.to_string(),
            }),
        }
    }

    /// Asks a process that ends with the answer.
    pub(super) fn once(&self, ask: Ask) -> Result<Answer, Failure> {
        Process::start(&self.program, &self.environment, &self.canceller)?.ask(ask, SHORT)
    }

    /// The worker for such a process, moved to the end of the list; how long starting it took if
    /// there was none.
    fn worker(
        &mut self,
        setting: &ProcessSetting,
        deadline: Duration,
    ) -> Result<Option<u64>, Failure> {
        if let Some(place) = self.residents.iter().position(|other| other.setting == *setting) {
            let resident = self.residents.remove(place);
            self.residents.push(resident);
            return Ok(None);
        }
        // An RPC server serves one process at a time; the next one would wait for ever.
        let shares =
            |other: &Resident| other.setting.rpc.iter().any(|server| setting.rpc.contains(server));
        self.residents.retain(|other| !shares(other));
        // First room, then the newcomer: models are large.
        let surplus = (self.residents.len() + 1).saturating_sub(self.limit);
        self.residents.drain(..surplus);
        let started = Instant::now();
        let resident = self.started(setting, deadline)?;
        self.residents.push(resident);
        Ok(Some(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)))
    }

    /// A new process of such a setting.
    fn started(&self, setting: &ProcessSetting, deadline: Duration) -> Result<Resident, Failure> {
        let environment = with_setting(&self.environment, setting);
        let mut process = Process::start(&self.program, &environment, &self.canceller)?;
        match process.ask(Ask::Start(setting.clone()), deadline)? {
            Answer::Started => Ok(Resident { setting: setting.clone(), process }),
            other => Err(mismatch(&other)),
        }
    }

    fn attempt(&mut self, job: &Job, deadline: Duration) -> Result<Run, Failure> {
        match self.attempt_to(&job.setting.process, Ask::Run(Box::new(job.clone())), deadline)? {
            (Answer::Run(mut run), process_ns) => {
                run.transition.process_ns = process_ns;
                Ok(*run)
            }
            (other, _) => Err(mismatch(&other)),
        }
    }

    /// Asks the worker of such a setting; how long starting it took if there was none.
    pub(super) fn attempt_to(
        &mut self,
        setting: &ProcessSetting,
        ask: Ask,
        deadline: Duration,
    ) -> Result<(Answer, Option<u64>), Failure> {
        let started = Instant::now();
        let process_ns = self.worker(setting, deadline)?;
        let resident = self.residents.last_mut().expect("there is a worker for the job");
        let left = deadline.saturating_sub(started.elapsed());
        let answer = resident.process.ask(ask, left);
        self.last_log = resident.process.log(usize::MAX);
        if !resident.process.alive() {
            self.residents.pop();
        }
        match answer {
            Ok(answer) => Ok((answer, process_ns)),
            // What was left of the deadline is not what the caller knows.
            Err(Failure::TimedOut { log, .. }) => Err(timed_out(deadline, log)),
            Err(failure) => Err(failure),
        }
    }
}

impl Engine for WorkerEngine {
    fn identity(&mut self) -> Result<Identity, Failure> {
        if let Some(identity) = &self.identity {
            return Ok(identity.clone());
        }
        match self.once(Ask::Identity)? {
            Answer::Identity(identity) => Ok(self.identity.insert(identity).clone()),
            other => Err(mismatch(&other)),
        }
    }

    fn variants(&mut self, weight_types: &[String]) -> Result<Vec<VariantReport>, Failure> {
        let mut reports = Vec::new();
        for (name, score) in self.scores()? {
            let verdict = match score {
                ..=0 => VariantVerdict::Unsupported,
                _ => self.verdict(&name, weight_types)?,
            };
            reports.push(VariantReport { name, score, verdict });
        }
        Ok(reports)
    }

    /// In a process of its own, which a driver may kill.
    fn devices(&mut self) -> Result<Vec<DeviceReport>, Failure> {
        self.devices_with(&[])
    }

    fn devices_with(&mut self, servers: &[String]) -> Result<Vec<DeviceReport>, Failure> {
        // A server serves one process at a time.
        self.residents.retain(|other| !other.setting.rpc.iter().any(|own| servers.contains(own)));
        match self.once(Ask::Devices { servers: servers.to_vec() })? {
            Answer::Devices(devices) => Ok(devices),
            other => Err(mismatch(&other)),
        }
    }

    fn run(&mut self, job: &Job, deadline: Duration) -> Result<Run, Failure> {
        let started = Instant::now();
        let job = self.settled(job)?;
        let first = self.attempt(&job, deadline.saturating_sub(started.elapsed()));
        match first {
            Err(Failure::OutOfMemory { reason, .. }) if !self.others(&job).is_empty() => {
                // The memory may be that of a model that waits for its turn.
                self.residents.clear();
                let mut second = self.attempt(&job, deadline.saturating_sub(started.elapsed()));
                if let Ok(run) = &mut second {
                    run.caveats.push(format!(
                        "it ran only after other loaded models were freed; before that it was out \
                         of memory: {reason}"
                    ));
                }
                second
            }
            Err(Failure::TimedOut { log, .. }) => Err(timed_out(deadline, log)),
            other => other,
        }
    }

    fn profile(&mut self, job: &ProfileJob, deadline: Duration) -> Result<Observed, Failure> {
        let started = Instant::now();
        let settled = self.settled(&job.job)?;
        let setting = settled.setting.process.clone();
        let ask = Ask::Profile(Box::new(ProfileJob { job: settled, watch: job.watch }));
        let left = deadline.saturating_sub(started.elapsed());
        match self.attempt_to(&setting, ask, left) {
            Ok((Answer::Profile(mut observed), process_ns)) => {
                observed.run.transition.process_ns = process_ns;
                Ok(*observed)
            }
            Ok((other, _)) => Err(mismatch(&other)),
            Err(Failure::TimedOut { log, .. }) => Err(timed_out(deadline, log)),
            Err(failure) => Err(failure),
        }
    }

    fn renew(&mut self) {
        self.residents.clear();
    }

    /// In a process of its own: several malformed headers end it.
    fn forecast(&mut self, model: &Path, setting: &Setting) -> Result<Forecast, Failure> {
        let model = absolute(model);
        let setting = self.foreseeable(&model, setting)?;
        let key = (file_key(&model), setting.clone());
        if let Some(known) = self.forecasts.get(&key) {
            return Ok(known.clone());
        }
        let process = setting.process.clone();
        match self.foresee(&process, Ask::Forecast { model, setting: Box::new(setting) })? {
            Answer::Forecast(forecast) => {
                if self.forecasts.len() >= MOST_FORECASTS {
                    self.forecasts.clear();
                }
                self.forecasts.insert(key, (*forecast).clone());
                Ok(*forecast)
            }
            other => Err(mismatch(&other)),
        }
    }

    /// One question for each row of settings that share a process.
    fn reservations(
        &mut self,
        model: &Path,
        settings: &[Setting],
    ) -> Result<Vec<Result<Forecast, Failure>>, Failure> {
        let model = absolute(model);
        let settings: Result<Vec<Setting>, Failure> =
            settings.iter().map(|setting| self.foreseeable(&model, setting)).collect();
        let mut found = Vec::new();
        for row in settings?.chunk_by(|one, next| one.process == next.process) {
            let ask = Ask::Reservations { model: model.clone(), settings: row.to_vec() };
            match self.foresee(&row[0].process, ask)? {
                Answer::Reservations(answers) if answers.len() == row.len() => {
                    found.extend(answers);
                }
                other => return Err(mismatch(&other)),
            }
        }
        Ok(found)
    }
}

impl WorkerEngine {
    /// The setting with the variant that it would get.
    fn foreseeable(&mut self, model: &Path, setting: &Setting) -> Result<Setting, Failure> {
        if !setting.process.rpc.is_empty() {
            // Whoever forecasts would hold the servers, which serve one process at a time.
            return Err(Failure::refused("memory of RPC servers is not foreseen"));
        }
        self.with_variant(model, setting)
    }

    /// A job that means the same in any folder, under a setting that names its CPU variant.
    fn settled(&mut self, job: &Job) -> Result<Job, Failure> {
        let model = absolute(&job.model);
        let setting = self.with_variant(&model, &job.setting)?;
        Ok(Job { model, setting, work: job.work.clone() })
    }

    /// The setting with the best CPU variant for the model, where it names none.
    fn with_variant(&mut self, model: &Path, setting: &Setting) -> Result<Setting, Failure> {
        let mut setting = setting.clone();
        if setting.process.isa_variant.is_none() {
            setting.process.isa_variant = Some(self.best_variant(model)?);
        }
        Ok(setting)
    }

    /// Asks the process that foresees, which is replaced where it is one of another setting.
    fn foresee(&mut self, setting: &ProcessSetting, ask: Ask) -> Result<Answer, Failure> {
        let known = self.forecaster.take().filter(|known| known.setting == *setting);
        let mut forecaster = match known {
            Some(known) => known,
            None => self.started(setting, SHORT)?,
        };
        let answer = forecaster.process.ask(ask, SHORT);
        if forecaster.process.alive() {
            self.forecaster = Some(forecaster);
        }
        answer
    }

    fn others(&self, job: &Job) -> Vec<u32> {
        let others = self.residents.iter().filter(|other| other.setting != job.setting.process);
        others.map(|other| other.process.pid()).collect()
    }
}

fn timed_out(deadline: Duration, log: Vec<String>) -> Failure {
    Failure::TimedOut { deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX), log }
}

pub(super) fn mismatch(answer: &Answer) -> Failure {
    let word = format!("{answer:?}");
    let word = word.split(['(', ' ']).next().unwrap_or_default();
    Failure::refused(format!("the worker answered another question ({word})"))
}

/// A file as it is now.
fn file_key(path: &Path) -> FileKey {
    let path = absolute(path);
    let written = fs::metadata(&path).ok();
    let written = written.and_then(|found| Some((found.modified().ok()?, found.len())));
    (path, written)
}

/// A worker may have another idea of the current folder.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What a worker inherits, without what would change its results unseen.
fn cleaned(
    inherited: impl Iterator<Item = (OsString, OsString)>,
    added: Vec<(OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let stripped = |name: &OsStr| {
        let name = name.to_string_lossy();
        STRIPPED.iter().any(|prefix| name.starts_with(prefix)) && !PASSED.contains(&&*name)
    };
    // ggml would fork a debugger for a trace of each abort.
    let ours = [("GGML_NO_BACKTRACE".into(), "1".into())];
    let mut environment: BTreeMap<OsString, OsString> =
        inherited.filter(|(name, _)| !stripped(name)).collect();
    environment.extend(ours.into_iter().chain(added));
    environment.into_iter().collect()
}

/// The environment with what a process setting needs in it. Tunables of glibc are a list.
fn with_setting(
    environment: &[(OsString, OsString)],
    setting: &ProcessSetting,
) -> Vec<(OsString, OsString)> {
    let mut variables: BTreeMap<OsString, OsString> = environment.iter().cloned().collect();
    for (name, value) in setting.environment() {
        let own = variables.entry(name.into()).or_default();
        if name == "GLIBC_TUNABLES" && !own.is_empty() {
            own.push(":");
            own.push(value);
        } else {
            *own = value.into();
        }
    }
    variables.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{HugePages, Toggle};

    #[test]
    fn a_setting_brings_its_variables_and_keeps_other_tunables() {
        let inherited = [("GLIBC_TUNABLES".into(), "glibc.malloc.check=1".into())];
        let setting = ProcessSetting {
            huge_pages: HugePages::On,
            tiled_products: Toggle::Off,
            ..ProcessSetting::default()
        };
        let environment = with_setting(&inherited, &setting);
        let found: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap()))
            .collect();
        let tunables = "glibc.malloc.check=1:glibc.malloc.hugetlb=1";
        assert_eq!(found, [("GGML_CPU_TILED_MM", "0"), ("GLIBC_TUNABLES", tunables)]);
    }

    #[test]
    fn an_inherited_variable_cannot_change_a_result() {
        let inherited = [
            "GGML_CPU_TILED_MM",
            "GGML_VK_VISIBLE_DEVICES",
            "OMP_NUM_THREADS",
            "LLAMA_X",
            "PATH",
            "MY_GGML_",
        ]
        .map(|name| (name.into(), "0".into()));
        let environment = cleaned(inherited.into_iter(), vec![("GGML_Y".into(), "2".into())]);
        let names: Vec<_> = environment.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        let wanted = ["GGML_NO_BACKTRACE", "GGML_VK_VISIBLE_DEVICES", "GGML_Y", "MY_GGML_", "PATH"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn a_program_that_is_gone_is_refused_by_name() {
        let mut engine =
            WorkerEngine::new(Path::new("/nowhere/autotune"), WorkerOptions::default());
        let failure = engine.identity().unwrap_err();
        assert!(matches!(&failure, Failure::Refused { reason, .. }
            if reason.contains("/nowhere/autotune")));
    }
}
