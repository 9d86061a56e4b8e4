//! NVIDIA's cards while something runs: a thread asks the driver's library now and then.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use autotune_engine::api::Bytes;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::{Device, Nvml};

use super::nvidia::{self, sysfs_address};
use crate::model::CardUse;

/// Between two samples: the driver itself averages utilization over at least a sixth of a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Cards that are being watched.
#[derive(Debug)]
pub struct CardWatch {
    /// Dropping it ends the thread.
    stop: Sender<()>,
    thread: JoinHandle<Vec<CardUse>>,
}

impl CardWatch {
    /// Begins with a first sample; `None` where there is no card of NVIDIA's, or no driver.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_by(nvidia::LIBRARIES, PAUSE)
    }

    pub(super) fn start_by(libraries: &[&str], pause: Duration) -> Option<Self> {
        let nvml = nvidia::open(libraries).ok().flatten()?;
        let count = nvidia::count(&nvml).ok().filter(|count| *count > 0)?;
        let (stop, stopped) = mpsc::channel();
        let mut cards: Vec<Samples> = (0..count).map(|_| Samples::default()).collect();
        sample(&nvml, &mut cards);
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                sample(&nvml, &mut cards);
            }
            sample(&nvml, &mut cards);
            cards.into_iter().map(Samples::summary).filter(|card| card.samples > 0).collect()
        });
        Some(Self { stop, thread })
    }

    /// Ends with a last sample. Cards that never answered are left out.
    #[must_use]
    pub fn finish(self) -> Vec<CardUse> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn sample(nvml: &Nvml, cards: &mut [Samples]) {
    for (index, card) in (0..).zip(cards) {
        if let Ok(device) = nvml.device_by_index(index) {
            card.add(&device);
        }
    }
}

/// What one card said so far. Of what it does not tell there are no entries.
#[derive(Debug, Default)]
struct Samples {
    summary: CardUse,
    busy_percent: Vec<u32>,
    graphics_mhz: Vec<u32>,
    memory_mhz: Vec<u32>,
    power_milliwatts: Vec<u32>,
}

impl Samples {
    fn add(&mut self, device: &Device<'_>) {
        let own = &mut self.summary;
        if own.name.is_none() {
            own.name = device.name().ok();
            own.pci_address = device.pci_info().ok().map(|pci| sysfs_address(&pci.bus_id));
        }
        let used = device.memory_info().ok().map(|memory| Bytes(memory.used));
        let busy = device.utilization_rates().ok().map(|rates| rates.gpu.min(100));
        let graphics = device.clock_info(Clock::Graphics).ok();
        let degrees = device.temperature(TemperatureSensor::Gpu).ok();
        if used.is_none() && busy.is_none() && graphics.is_none() && degrees.is_none() {
            return;
        }
        own.samples += 1;
        own.used_before_bytes = own.used_before_bytes.or(used);
        own.used_peak_bytes = own.used_peak_bytes.max(used);
        own.used_after_bytes = used.or(own.used_after_bytes);
        own.temperature_celsius = own.temperature_celsius.max(degrees);
        if busy.is_some_and(|busy| busy > 0)
            && let Some(graphics) = graphics
        {
            let hertz = u64::from(graphics) * 1_000_000;
            let lowest = own.lowest_graphics_hz.map_or(hertz, |lowest| lowest.min(hertz));
            own.lowest_graphics_hz = Some(lowest);
        }
        for word in nvidia::throttles(device).unwrap_or_default() {
            if !own.throttle_reasons.contains(&word) {
                own.throttle_reasons.push(word);
            }
        }
        self.busy_percent.extend(busy);
        self.graphics_mhz.extend(graphics);
        self.memory_mhz.extend(device.clock_info(Clock::Memory).ok());
        self.power_milliwatts.extend(device.power_usage().ok());
    }

    fn summary(self) -> CardUse {
        let hertz = |megahertz: &[u32]| {
            let sum: u64 = megahertz.iter().copied().map(u64::from).sum();
            (sum * 1_000_000).checked_div(megahertz.len() as u64)
        };
        CardUse {
            utilization: mean(&self.busy_percent).map(|percent| percent / 100.0),
            graphics_hz: hertz(&self.graphics_mhz),
            memory_hz: hertz(&self.memory_mhz),
            power_watts: mean(&self.power_milliwatts).map(|milliwatts| milliwatts / 1e3),
            ..self.summary
        }
    }
}

fn mean(values: &[u32]) -> Option<f64> {
    let sum: f64 = values.iter().copied().map(f64::from).sum();
    (!values.is_empty()).then(|| sum / values.len() as f64)
}
