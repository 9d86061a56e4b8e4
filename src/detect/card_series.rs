//! NVIDIA's cards over time: what each said at every look, for whoever wants the course of it.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nvml_wrapper::enum_wrappers::device::PcieUtilCounter;
use nvml_wrapper::{Device, Nvml};

use super::nvidia;
use crate::model::observation::{CardSample, CardSeries};

/// Between two samples at first: the driver averages use over at least a sixth of a second.
const PAUSE: Duration = Duration::from_millis(200);
/// Samples of a card that are kept; beyond it every second one goes and the pause doubles.
const MOST: usize = 4096;

/// Cards that are being sampled.
#[derive(Debug)]
pub struct CardRecorder {
    /// Dropping it ends the thread.
    stop: Sender<()>,
    thread: JoinHandle<Vec<CardSeries>>,
}

impl CardRecorder {
    /// Begins; times count from `began`. `None` where there is no card of NVIDIA's, or no driver.
    #[must_use]
    pub fn start(began: Instant) -> Option<Self> {
        Self::start_by(nvidia::LIBRARIES, PAUSE, began)
    }

    pub(super) fn start_by(libraries: &[&str], pause: Duration, began: Instant) -> Option<Self> {
        let nvml = nvidia::open(libraries).ok().flatten()?;
        let count = nvidia::count(&nvml).ok().filter(|count| *count > 0)?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut pause = pause;
            let mut cards: Vec<CardSeries> = (0..count).map(|index| named(&nvml, index)).collect();
            loop {
                let ended = stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
                for (index, card) in (0..).zip(&mut cards) {
                    if let Ok(device) = nvml.device_by_index(index) {
                        card.samples.extend(sample(&device, began));
                    }
                }
                if cards.iter().any(|card| card.samples.len() > MOST) {
                    pause *= 2;
                    for card in &mut cards {
                        let mut odd = false;
                        card.samples.retain(|_| {
                            odd = !odd;
                            odd
                        });
                    }
                }
                if ended {
                    break;
                }
            }
            cards.retain(|card| !card.samples.is_empty());
            cards
        });
        Some(Self { stop, thread })
    }

    /// Ends with a last sample. Cards that never answered are left out.
    #[must_use]
    pub fn finish(self) -> Vec<CardSeries> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn named(nvml: &Nvml, index: u32) -> CardSeries {
    let device = nvml.device_by_index(index).ok();
    CardSeries {
        name: device.as_ref().and_then(|device| device.name().ok()),
        memory_bytes: device.and_then(|device| Some(device.memory_info().ok()?.total)),
        samples: Vec::new(),
    }
}

/// `None` of a card that does not answer at all.
fn sample(device: &Device<'_>, began: Instant) -> Option<CardSample> {
    let rates = device.utilization_rates().ok();
    let memory = device.memory_info().ok();
    if rates.is_none() && memory.is_none() {
        return None;
    }
    let share = |percent: u32| f64::from(percent.min(100)) / 100.0;
    // In units of a thousand bytes; the driver measures for 20 ms.
    let copied = |counter| device.pcie_throughput(counter).ok().map(|kb| f64::from(kb) * 1e3);
    Some(CardSample {
        at_s: began.elapsed().as_secs_f64(),
        busy: rates.as_ref().map(|rates| share(rates.gpu)),
        memory_busy: rates.map(|rates| share(rates.memory)),
        used_bytes: memory.map(|memory| memory.used),
        copied_in_bytes_per_s: copied(PcieUtilCounter::Receive),
        copied_out_bytes_per_s: copied(PcieUtilCounter::Send),
        power_watts: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
    })
}
