//! What the `amdgpu` driver says of a card; names of files from the kernel's GPU documentation.

use autotune_engine::api::Bytes;

use super::Host;
use super::gpu::Card;
use super::host::line;
use super::pci::bytes;

/// Largest part of memory that firmware sets aside for graphics on a processor without being
/// asked to. Cards with less memory of their own are older than the driver.
const LARGEST_CARVE_OUT: u64 = 2 << 30;

pub(super) fn fill(host: &dyn Host, device: &str, card: &mut Card) {
    let memory = |name: &str| bytes(host, &format!("{device}/{name}")).map(|bytes| bytes.0);
    let own = memory("mem_info_vram_total").zip(memory("mem_info_vram_used"));
    let shared = memory("mem_info_gtt_total").zip(memory("mem_info_gtt_used"));
    card.gpu.integrated = integrated(host, device, own, shared, card);
    // Graphics on a processor use the part set aside and what the driver may borrow besides.
    let borrowed = shared.filter(|_| card.gpu.integrated == Some(true)).unwrap_or((0, 0));
    let total = memory("mem_info_vram_total").map(|total| total.saturating_add(borrowed.0));
    card.gpu.memory_bytes = total.map(Bytes);
    card.gpu.free_bytes = own
        .zip(total)
        .map(|((_, used), total)| Bytes(total.saturating_sub(used).saturating_sub(borrowed.1)));
    card.gpu.name = line(host, &format!("{device}/product_name")).ok();
    let clocks = &mut card.gpu.clocks;
    (clocks.graphics_hz, clocks.max_graphics_hz) = levels(host, &format!("{device}/pp_dpm_sclk"));
    (clocks.memory_hz, clocks.max_memory_hz) = levels(host, &format!("{device}/pp_dpm_mclk"));
}

/// Only processors report the voltage of their memory controller, only cards a power limit; the
/// sizes decide where the sensors are hidden.
fn integrated(
    host: &dyn Host,
    device: &str,
    own: Option<(u64, u64)>,
    shared: Option<(u64, u64)>,
    card: &Card,
) -> Option<bool> {
    let sensors = format!("{device}/hwmon");
    let on_processor = host.list(&sensors).iter().any(|name| {
        let labels = ["in0_label", "in1_label"];
        let label = |file: &str| line(host, &format!("{sensors}/{name}/{file}"));
        labels.iter().any(|file| label(file).is_ok_and(|label| label == "vddnb"))
    });
    match (on_processor, card.gpu.power_limit_watts, own, shared) {
        (true, ..) => Some(true),
        (_, Some(_), ..) => Some(false),
        (.., Some((own, _)), _) if own > LARGEST_CARVE_OUT => Some(false),
        (.., Some((own, _)), Some((shared, _))) if shared > own => Some(true),
        _ => None,
    }
}

/// Lines such as `1: 2500Mhz *`, the star at the one in use. The highest is the last but for
/// drivers that put a clock between two levels after them.
fn levels(host: &dyn Host, path: &str) -> (Option<u64>, Option<u64>) {
    let text = host.read(path).unwrap_or_default();
    let hertz = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let digits: String = rest.trim().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()?.checked_mul(1_000_000)
    };
    let now = text.lines().find(|line| line.trim_end().ends_with('*')).and_then(hertz);
    (now, text.lines().filter_map(hertz).max().filter(|hertz| *hertz > 0))
}
