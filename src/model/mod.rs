//! The nouns: what a model file is, what it is used for, what was planned, tried and found.
//!
//! Plain data with a version in each document that reaches a file. Reading and writing files is
//! left to `store`, judging to `analysis`.

pub mod activity;
mod card;
mod cases;
mod ceilings;
mod comparison;
mod condition;
mod cpu_list;
mod device_use;
mod diagnosis;
mod findings;
mod gate;
mod gate_session;
mod goal;
mod machine;
mod map;
pub mod observation;
mod plan;
mod profile;
mod quality;
mod quantization;
mod quantized;
mod trial;
mod verification;
mod workload;

pub use card::{ModelCard, TypeShare};
pub use cases::{Case, Cases, Spread};
pub use ceilings::{CachePeak, Ceilings, GpuPeak, Interval, Latency, Peak};
pub use comparison::{ComparedRun, Comparison, Difference, SettingDifference};
pub use condition::{Condition, CounterUnit, PowerCap, PowerSource, Switches, ThrottleEvents};
pub use cpu_list::{CpuList, ParseCpuListError};
pub use device_use::{CardUse, DeviceMemory};
pub use diagnosis::{CheckOutcome, Checked, Cost, Diagnosis, Evidence, Finding};
pub use findings::{
    AmongFinalists, AuditClaim, Candidate, CeilingClaim, Claims, Curve, CurvePoint, Effect,
    FailedSetting, Findings, Fitness, Grade, Phase, SoakFinding, Surface, SurfaceAxis, SurfaceCell,
    TriedSetting, Verdict,
};
pub use gate::{
    Better, Canary, ChangePoint, FactDifference, GateCell, GateClass, GateMachine, GateMode,
    GateNoise, GateReason, GateReport, GateSeries, GateSession, GateSide, GateTrials, GateVerdict,
    Waiver, Weight,
};
pub use gate_session::{StoredCell, StoredSession};
pub use goal::{Figure, Goal, Standing};
pub use machine::{
    Cache, CacheKind, CoreKind, Cpu, EngineReport, Gpu, GpuBackend, GpuClocks, GpuSource,
    HugePages, KindName, Limits, Machine, Memory, MemoryModule, MigInstance, Node, NodeKind, Numa,
    Offload, OperatingSystem, Pcie, Provenance, Recommendation, SizeClass, Storage, StorageKind,
    Switch, Turbo, UnusableIsa,
};
pub use map::{Advice, Cell, CellSource, DeviceRoom, LayerWeights, MoreContext, PlanMap, Room};
pub use plan::{
    Axis, Calibration, ContextMemory, Level, Plan, Prior, PriorPoint, Protocol, Rejected, Scope,
    Strategy,
};
pub use profile::{
    Bottleneck, Bound, ComponentShare, ComponentTable, CounterProfile, DetailShare, FunctionShare,
    LatencyProfile, Metric, ModelProfile, OtherCount, PhaseProfile, Profile, Roofline, Sampling,
    Stall, Subject,
};
pub use quality::{
    AgainstReference, CandidateQuality, Divergence, NoiseFloor, QualityClass, QualityReport,
    QualityStop, QualitySubject, QualityText, TextSource,
};
pub use quantization::{
    PromptAnswers, QuantizationStudy, SpokenAnswer, StudyCandidate, StudyChoice,
};
pub use quantized::{MixBeside, MixGroup, MixReport, MixSpeed, QuantizedFile, QuantizedFiles};
pub use trial::{Measured, NotRun, Outcome, Purpose, Source, Trial};
pub use verification::{
    Fits, Proof, SentRequest, Served, ServedPair, ServedVisit, Side, Transfer, Verification,
};
pub use workload::{Bounds, Objective, Request, Workload};
