//! What was seen of a command from outside, look by look: what `observe` reads and `activity` judges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Looks at a tree of processes, oldest first, and what was counted until the last of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Series {
    /// Processors that the command may use.
    pub processors: u32,
    /// The looks, without gaps between them.
    pub looks: Vec<Look>,
    /// How often threads were seen waiting where, the counted ones only.
    pub calls: Vec<CallSeen>,
    /// Threads that used a processor, the busiest first.
    pub threads: Vec<ThreadUse>,
    /// Threads that were seen at all.
    pub threads_seen: u32,
    /// Processes that were seen at all.
    pub processes_seen: u32,
    /// Processor time by the processor it was spent on.
    pub by_processor: BTreeMap<u32, f64>,
    /// What was counted over all of it.
    pub totals: Totals,
    /// Cards and what they did.
    pub cards: Vec<CardSeries>,
    /// Whether a process of the command holds a graphics processor open.
    pub holds_card: bool,
    /// Processor time that watching cost.
    pub own_cpu_s: f64,
    /// What could not be read, each one sentence.
    pub unseen: Vec<String>,
}

/// One look: what happened since the one before, and what was waited for when it was taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// When, since watching began.
    pub at_s: f64,
    /// Since the look before.
    pub span_s: f64,
    /// Processor time of all threads.
    pub on_cpu_s: f64,
    /// Time that threads were ready to run and waited for a processor.
    pub queued_s: f64,
    /// Time beside it that somebody wanted a processor, where processes ended meanwhile: these took
    /// their accounts along, and who was ready when the look was taken speaks for them.
    pub ready_s: f64,
    /// What nobody could go on without, were nobody running.
    pub waiting: Option<Waiting>,
    /// Threads that waited for just that.
    pub in_flight: u32,
    /// Threads that were given a processor, or seen for the first time.
    pub awake: u32,
    /// Threads there are.
    pub threads: u32,
    /// Processes there are.
    pub processes: u32,
    /// Memory of all processes; what they share counts once for each.
    pub resident_bytes: u64,
    /// Bytes that were fetched from storage.
    pub read_bytes: u64,
    /// Bytes that were handed to storage.
    pub write_bytes: u64,
    /// Page faults that storage had to answer.
    pub major_faults: u64,
}

impl Look {
    /// Processor time that was wanted, the sum over threads: running or ready to.
    #[must_use]
    pub fn wanted_s(&self) -> f64 {
        self.on_cpu_s + self.queued_s + self.ready_s
    }

    /// Processors wanted, on the average.
    #[must_use]
    pub fn wanted(&self) -> f64 {
        if self.span_s > 0.0 { self.wanted_s() / self.span_s } else { 0.0 }
    }

    /// The share of it in which somebody wanted a processor; overlaps that cannot be seen are taken
    /// not to be.
    #[must_use]
    pub fn cpu_share(&self) -> f64 {
        self.wanted().min(1.0)
    }

    /// This look and the next one as one.
    pub fn join(&mut self, next: &Self) {
        let waited = |look: &Self| (1.0 - look.cpu_share()) * look.span_s;
        if waited(next) > waited(self) || self.waiting.is_none() {
            (self.waiting, self.in_flight) = (next.waiting, next.in_flight);
        }
        self.at_s = next.at_s;
        self.span_s += next.span_s;
        self.on_cpu_s += next.on_cpu_s;
        self.queued_s += next.queued_s;
        self.ready_s += next.ready_s;
        self.awake = self.awake.max(next.awake);
        self.threads = self.threads.max(next.threads);
        self.processes = self.processes.max(next.processes);
        self.resident_bytes = self.resident_bytes.max(next.resident_bytes);
        self.read_bytes += next.read_bytes;
        self.write_bytes += next.write_bytes;
        self.major_faults += next.major_faults;
    }
}

/// What is waited for, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Waiting {
    /// What for.
    pub kind: Wait,
    /// Who says so.
    pub source: Source,
}

/// What a thread can wait for. The order is the rank among threads that wait for different
/// things: the first kind is what holds the program up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Storage: a read, a write, a flush, or a page that has to be fetched.
    Disk,
    /// An answer over a connection that it opened.
    Network,
    /// A graphics processor.
    Gpu,
    /// A pipe or a local socket to a program outside.
    Pipe,
    /// Requests over connections that others opened.
    Requests,
    /// Somebody at a terminal.
    Terminal,
    /// Events of which is not known where they come from.
    Event,
    /// A time that it chose.
    Sleep,
    /// A lock or a condition of its own threads.
    Lock,
    /// A process of its own.
    Child,
    /// It was stopped by a signal.
    Stopped,
    /// Nobody says.
    Unknown,
}

impl Wait {
    /// What it is called in a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "storage",
            Self::Network => "network",
            Self::Gpu => "GPU",
            Self::Pipe => "other program",
            Self::Requests => "clients",
            Self::Terminal => "terminal",
            Self::Event => "events",
            Self::Sleep => "sleep",
            Self::Lock => "lock",
            Self::Child => "child",
            Self::Stopped => "stopped",
            Self::Unknown => "not seen",
        }
    }

    /// What it is called in a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Disk => "storage",
            Self::Network => "the network",
            Self::Gpu => "a GPU",
            Self::Pipe => "another program (pipe or local socket)",
            Self::Requests => "requests of its clients",
            Self::Terminal => "input at a terminal",
            Self::Event => "events",
            Self::Sleep => "a time to pass (sleep)",
            Self::Lock => "a lock",
            Self::Child => "a child process",
            Self::Stopped => "being continued (it was stopped)",
            Self::Unknown => "something that could not be seen",
        }
    }
}

/// Who says what is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The state of the thread.
    TaskState,
    /// The system call it is in, and what its descriptor leads to.
    SystemCall,
    /// The function of the kernel that it sleeps in.
    KernelFunction,
    /// What the process read and wrote meanwhile.
    IoCounters,
    /// Nobody: taken from the looks around.
    Neighbours,
}

impl Source {
    /// What it is called in a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::TaskState => "task state",
            Self::SystemCall => "system call",
            Self::KernelFunction => "kernel function",
            Self::IoCounters => "I/O counters",
            Self::Neighbours => "the looks around",
        }
    }
}

/// A place where threads were seen waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSeen {
    /// The system call, or `page fault`.
    pub call: String,
    /// What its descriptor leads to, where it has one.
    pub on: Option<String>,
    /// What that means.
    pub kind: Wait,
    /// How often, one for each thread and look.
    pub times: u64,
}

/// A thread and its processor time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadUse {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Its number.
    pub tid: u32,
    /// Its processor time.
    pub cpu_s: f64,
}

/// What the kernel counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Processor time of the programs themselves.
    pub user_s: f64,
    /// Processor time of the kernel on their behalf.
    pub system_s: f64,
    /// Times that a thread gave its processor up to wait, where they were seen.
    pub voluntary_switches: u64,
    /// Times that a processor was taken from one that wanted to go on.
    pub involuntary_switches: u64,
    /// Times that a thread was given a processor.
    pub turns: u64,
    /// Page faults answered from memory.
    pub minor_faults: u64,
    /// Page faults that storage had to answer.
    pub major_faults: u64,
    /// The most memory in use at once.
    pub peak_bytes: u64,
    /// Input and output, where it may be read.
    pub io: Option<IoCounts>,
    /// What network interfaces carried, of everybody in the same network namespace.
    pub network: Option<NetworkCounts>,
    /// Time that threads waited for storage, where the kernel keeps account.
    pub storage_delay_s: Option<f64>,
    /// Processors that everybody else used, on the average.
    pub others_cores: Option<f64>,
}

/// Input and output of all processes, from `/proc/PID/io`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoCounts {
    /// Fetched from storage.
    pub storage_read_bytes: u64,
    /// Handed to storage.
    pub storage_write_bytes: u64,
    /// Given by calls that read: files, pipes, terminals (sockets only by `read`).
    pub read_bytes: u64,
    /// Taken by calls that write.
    pub write_bytes: u64,
    /// Calls that read.
    pub read_calls: u64,
    /// Calls that write.
    pub write_calls: u64,
}

/// Bytes and packets of all interfaces of a network namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkCounts {
    /// Bytes that came.
    pub received_bytes: u64,
    /// Bytes that went.
    pub sent_bytes: u64,
    /// Packets that came.
    pub received_packets: u64,
    /// Packets that went.
    pub sent_packets: u64,
}

/// One card over time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardSeries {
    /// Its name.
    pub name: Option<String>,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// What it said, oldest first.
    pub samples: Vec<CardSample>,
}

/// What a card said at one moment. Of what it does not tell there is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CardSample {
    /// When, since watching began.
    pub at_s: f64,
    /// Share of the time just past that something was computed.
    pub busy: Option<f64>,
    /// Share of the time just past that its memory was read or written.
    pub memory_busy: Option<f64>,
    /// Memory in use.
    pub used_bytes: Option<u64>,
    /// Copied to it over its bus.
    pub copied_in_bytes_per_s: Option<f64>,
    /// Copied from it over its bus.
    pub copied_out_bytes_per_s: Option<f64>,
    /// Power.
    pub power_watts: Option<f64>,
}
