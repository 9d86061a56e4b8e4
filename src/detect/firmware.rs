//! Memory modules: what the firmware's SMBIOS table says of them, or else the kernel's error
//! detection (EDAC). Serial numbers stand in the table and are not looked at.

use std::collections::BTreeSet;

use autotune_engine::api::Bytes;
use smbioslib::{
    MemoryDeviceType, MemoryDeviceTypeData, MemorySize, MemorySizeExtended, MemorySpeed,
    MemorySpeedExtended, SMBiosData, SMBiosMemoryDevice, SMBiosString,
};

use super::host::{line, value};
use super::{Gaps, Host, Unread};
use crate::model::{Memory, MemoryModule};

#[cfg(test)]
mod tests;

const TABLE: &str = "/sys/firmware/dmi/tables/DMI";
const EDAC: &str = "/sys/devices/system/edac/mc";
/// More modules than any machine has: a table that lists more is garbage.
const MOST_MODULES: usize = 1024;
/// Longest name of a place that is believed.
const LONGEST_NAME: usize = 64;

/// Fills in everything about modules.
pub(super) fn fill(host: &dyn Host, memory: &mut Memory, gaps: &mut Gaps) {
    let found = match table(host) {
        Ok((slots, modules)) => {
            memory.slots = u32::try_from(slots).ok();
            Ok(modules)
        }
        Err(why) => {
            gaps.missing("memory.slots", &why);
            let modules = edac(host);
            if modules.is_empty() { Err(why) } else { Ok(modules) }
        }
    };
    match found {
        Ok(modules) => {
            memory.modules = modules;
            summarize(memory, gaps);
        }
        Err(why) => {
            for fact in ["channels", "speed_mt_per_s", "rated_speed_mt_per_s", "kind"] {
                gaps.missing(format!("memory.{fact}"), &why);
            }
        }
    }
}

fn summarize(memory: &mut Memory, gaps: &mut Gaps) {
    let modules = &memory.modules;
    memory.channels = channels(modules).map_err(|why| gaps.missing("memory.channels", why)).ok();
    let slowest = |speeds: Vec<Option<u32>>| speeds.into_iter().min().flatten();
    let speed = slowest(modules.iter().map(|module| module.speed_mt_per_s).collect());
    let rated = slowest(modules.iter().map(|module| module.rated_mt_per_s).collect());
    let why = "not every module tells its speed";
    memory.speed_mt_per_s = gaps.or("memory.speed_mt_per_s", speed, why);
    memory.rated_speed_mt_per_s = gaps.or("memory.rated_speed_mt_per_s", rated, why);
    memory.kind = kind(modules).map_err(|why| gaps.missing("memory.kind", why)).ok();
}

fn kind(modules: &[MemoryModule]) -> Result<String, String> {
    let kinds: BTreeSet<_> = modules.iter().map(|module| module.kind.as_deref()).collect();
    match kinds.into_iter().collect::<Vec<_>>()[..] {
        [Some(kind)] if kind != "RAM" => Ok(kind.to_owned()),
        [Some(_)] => Err("the firmware calls it RAM, as virtual machines do".to_owned()),
        [None] => Err("the firmware does not tell".to_owned()),
        _ => Err("the modules are of several kinds".to_owned()),
    }
}

/// Slots, and the modules in them.
fn table(host: &dyn Host) -> Result<(usize, Vec<MemoryModule>), String> {
    let bytes = host.read_bytes(TABLE).map_err(|why| match why {
        Unread::Denied(_) => "only root may read the firmware's table of modules".to_owned(),
        Unread::Absent(_) => "the firmware shows no table of modules".to_owned(),
        why => why.to_string(),
    })?;
    let data = SMBiosData::from_vec_and_version(bytes, None);
    let places: Vec<SMBiosMemoryDevice<'_>> =
        data.defined_struct_iter::<SMBiosMemoryDevice<'_>>().take(MOST_MODULES + 1).collect();
    if places.len() > MOST_MODULES {
        return Err(format!("{TABLE} lists more modules than any machine has"));
    }
    let places: Vec<_> = places.into_iter().filter(|place| !is_storage(place)).collect();
    let modules: Vec<MemoryModule> = places.iter().filter_map(module).collect();
    if modules.is_empty() {
        return Err(format!("{TABLE} lists no memory module"));
    }
    Ok((places.len(), modules))
}

/// Firmware chips and persistent memory are listed too.
fn is_storage(place: &SMBiosMemoryDevice<'_>) -> bool {
    use MemoryDeviceType as Kind;
    matches!(
        place.memory_type().map(|kind| kind.value),
        Some(
            Kind::Rom
                | Kind::Flash
                | Kind::Eeprom
                | Kind::Feprom
                | Kind::Eprom
                | Kind::LogicalNonVolatileDevice
        )
    )
}

/// `None` for an empty slot.
fn module(place: &SMBiosMemoryDevice<'_>) -> Option<MemoryModule> {
    let size = match place.size()? {
        MemorySize::NotInstalled => return None,
        MemorySize::Unknown => None,
        MemorySize::Kilobytes(size) => Some(u64::from(size) << 10),
        MemorySize::Megabytes(size) => Some(u64::from(size) << 20),
        MemorySize::SeeExtendedSize => match place.extended_size() {
            Some(MemorySizeExtended::Megabytes(size)) => Some(u64::from(size) << 20),
            _ => None,
        },
    };
    if size == Some(0) {
        return None;
    }
    Some(MemoryModule {
        locator: name(&place.device_locator()),
        bank: name(&place.bank_locator()),
        size_bytes: size.map(Bytes),
        kind: place.memory_type().and_then(|kind| kind_name(&kind)),
        rated_mt_per_s: speed(place.speed(), place.extended_speed()),
        speed_mt_per_s: speed(
            place.configured_memory_speed(),
            place.extended_configured_memory_speed(),
        ),
    })
}

fn speed(short: Option<MemorySpeed>, long: Option<MemorySpeedExtended>) -> Option<u32> {
    match (short?, long) {
        (MemorySpeed::MTs(speed), _) => Some(u32::from(speed)),
        (MemorySpeed::SeeExtendedSpeed, Some(MemorySpeedExtended::MTs(speed))) => Some(speed),
        _ => None,
    }
}

fn kind_name(kind: &MemoryDeviceTypeData) -> Option<String> {
    use MemoryDeviceType as Kind;
    let name = match kind.value {
        Kind::Ram => "RAM",
        Kind::Dram => "DRAM",
        Kind::Sdram => "SDRAM",
        Kind::Ddr => "DDR",
        Kind::Ddr2 | Kind::Ddr2Fbdimm => "DDR2",
        Kind::Ddr3 => "DDR3",
        Kind::Ddr4 => "DDR4",
        Kind::Ddr5 => "DDR5",
        Kind::Lpddr => "LPDDR",
        Kind::Lpddr2 => "LPDDR2",
        Kind::Lpddr3 => "LPDDR3",
        Kind::Lpddr4 => "LPDDR4",
        Kind::Lpddr5 => "LPDDR5",
        Kind::Hbm => "HBM",
        Kind::Hbm2 => "HBM2",
        Kind::Hbm3 => "HBM3",
        Kind::Mrdimm => "MRDIMM",
        _ => return None,
    };
    Some(name.to_owned())
}

fn name(text: &SMBiosString) -> Option<String> {
    plain(text.to_utf8_lossy()?.trim())
}

/// A name without control characters, no longer than one.
fn plain(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    (!text.is_empty()).then_some(text)
}

/// What the kernel's error detection knows: names, kinds and sizes.
fn edac(host: &dyn Host) -> Vec<MemoryModule> {
    let controllers = host.list(EDAC).into_iter().filter(|name| name.starts_with("mc"));
    let places = controllers.flat_map(|controller| {
        let names = host.list(&format!("{EDAC}/{controller}"));
        let dimms = names.into_iter().filter(|name| name.starts_with("dimm"));
        dimms.map(move |dimm| format!("{EDAC}/{controller}/{dimm}")).collect::<Vec<_>>()
    });
    let modules = places.take(MOST_MODULES).filter_map(|folder| {
        let size: u64 = value(host, &format!("{folder}/size")).ok().filter(|size| *size > 0)?;
        let kind = line(host, &format!("{folder}/dimm_mem_type")).ok();
        Some(MemoryModule {
            locator: line(host, &format!("{folder}/dimm_label")).ok().and_then(|it| plain(&it)),
            size_bytes: size.checked_mul(1 << 20).map(Bytes),
            kind: kind.and_then(|kind| plain(kind.rsplit('-').next()?)),
            ..MemoryModule::default()
        })
    });
    modules.collect()
}

/// Distinct channels that have a module.
fn channels(modules: &[MemoryModule]) -> Result<u32, String> {
    let mut names = BTreeSet::new();
    let mut channels = BTreeSet::new();
    for module in modules {
        let name = [&module.bank, &module.locator].map(|name| name.clone().unwrap_or_default());
        let channel = channel(&name.join(" "))
            .ok_or_else(|| format!("`{}` names no channel", name.join(" ").trim()))?;
        channels.insert(channel);
        if !names.insert(name) {
            return Err("several modules have the same name".to_owned());
        }
    }
    u32::try_from(channels.len()).map_err(|_| "there are too many".to_owned())
}

/// Socket, controller and channel in a name such as `P0 CHANNEL A`, `Controller0-ChannelA-DIMM0`,
/// `DIMM_A1` or `CPU1_DIMM_C1`. The word `channel` is believed before a letter behind `DIMM`.
fn channel(name: &str) -> Option<(String, String, String)> {
    let name = name.to_ascii_uppercase();
    let words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let numbered = |heads: &[&str]| {
        let after = |head: &&str| behind(&words, head, |tail| number(tail).map(str::to_owned));
        heads.iter().find_map(after).unwrap_or_default()
    };
    let socket = numbered(&["SOCKET", "SRCID", "PROC", "CPU", "P", "NODE"]);
    let controller = numbered(&["CONTROLLER", "IMC", "MC"]);
    let named = ["CHANNEL", "CHAN", "CH"];
    let channel = named.iter().find_map(|head| behind(&words, head, short)).or_else(|| {
        // `DIMM_P0_A1`: P0 is the socket.
        let socket = |word: &&str| word.strip_prefix('P').and_then(number).is_some();
        let words: Vec<&str> = words.iter().filter(|word| !socket(word)).copied().collect();
        behind(&words, "DIMM", |tail| {
            let letter = tail.get(..1).filter(|c| c.chars().all(|c| c.is_ascii_alphabetic()))?;
            (tail.len() == 1 || number(&tail[1..]).is_some()).then(|| letter.to_owned())
        })
    })?;
    Some((socket, controller, channel))
}

/// What follows a word, in the same word or in the next one.
fn behind(words: &[&str], head: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    words.iter().enumerate().find_map(|(index, word)| match word.strip_prefix(head)? {
        "" => read(words.get(index + 1)?),
        tail => read(tail),
    })
}

fn number(text: &str) -> Option<&str> {
    (!text.is_empty() && text.len() <= 3 && text.bytes().all(|c| c.is_ascii_digit()))
        .then_some(text)
}

/// A letter or a number, and nothing else.
fn short(text: &str) -> Option<String> {
    let letter = text.len() == 1 && text.bytes().all(|c| c.is_ascii_alphabetic());
    (letter || number(text).is_some()).then(|| text.to_owned())
}
