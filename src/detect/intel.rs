//! What the drivers `i915` and `xe` say of a card.

use super::Host;
use super::gpu::Card;
use super::host::value;
use super::pci::bytes;

pub(super) fn fill(host: &dyn Host, device: &str, node: Option<&str>, card: &mut Card) {
    let node = node.unwrap_or(device);
    // Each driver has its own place, and the oldest releases of both have none.
    let totals = [
        format!("{device}/tile0/physical_vram_size_bytes"),
        format!("{node}/lmem_total_bytes"),
        format!("{node}/prelim_lmem_total_bytes"),
    ];
    let frees = [format!("{node}/lmem_avail_bytes"), format!("{node}/prelim_lmem_avail_bytes")];
    card.gpu.memory_bytes = totals.iter().find_map(|path| bytes(host, path));
    card.gpu.free_bytes = frees.iter().find_map(|path| bytes(host, path));
    // Integrated graphics sit at this address in every generation; a card that is passed to a
    // virtual machine may sit there too, but has memory.
    let address = card.gpu.pci_address.as_deref();
    let inside = address.map(|address| address.ends_with(":00:02.0"));
    card.gpu.integrated = if card.gpu.memory_bytes.is_some() { Some(false) } else { inside };
    if card.gpu.integrated == Some(false) && card.gpu.memory_bytes.is_none() {
        let driver = card.gpu.driver.as_deref().unwrap_or("no driver");
        let why = format!("{driver} does not tell under /sys; --backends asks the engine");
        for fact in ["memory_bytes", "free_bytes"] {
            card.unseen.insert(fact.to_owned(), why.clone());
        }
    }
    let clock = |files: [String; 2]| {
        let megahertz = files.iter().find_map(|path| value::<u64>(host, path).ok())?;
        megahertz.checked_mul(1_000_000).filter(|hertz| *hertz > 0)
    };
    let frequency = format!("{device}/tile0/gt0/freq0");
    card.gpu.clocks.graphics_hz =
        clock([format!("{node}/gt_act_freq_mhz"), format!("{frequency}/act_freq")]);
    card.gpu.clocks.max_graphics_hz =
        clock([format!("{node}/gt_max_freq_mhz"), format!("{frequency}/max_freq")]);
}
