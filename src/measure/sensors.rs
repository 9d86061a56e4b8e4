//! The door to the state of the machine around a visit.

use std::fmt;
use std::time::Duration;

use crate::model::CardUse;

/// Counters of the whole machine; differences between two readings are what is used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// Time since some fixed moment.
    pub at: Duration,
    /// Processor time that anything used, over all processors.
    pub busy: Option<Duration>,
    /// Processor time that this program and the engine used.
    pub own: Option<Duration>,
    /// Processor time that the hypervisor gave to others, over all processors.
    pub stolen: Option<Duration>,
    /// Online processors.
    pub processors: Option<u32>,
}

/// Something that can read the state of the machine, cheaply enough for every visit.
pub trait Sensors: fmt::Debug {
    /// The counters now; all `None` where the system does not tell.
    fn read(&mut self) -> Reading;

    /// Begins to watch the graphics cards.
    fn watch_cards(&mut self) {}

    /// What they did since; empty where no driver tells.
    fn cards(&mut self) -> Vec<CardUse> {
        Vec::new()
    }
}

/// Sensors that see nothing: for simulated machines.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSensors;

impl Sensors for NoSensors {
    fn read(&mut self) -> Reading {
        Reading::default()
    }
}
