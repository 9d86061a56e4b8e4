use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::Provenance;

/// A machine of which the firmware's table is all there is.
#[derive(Default)]
struct Board {
    table: Option<Result<Vec<u8>, Unread>>,
    files: BTreeMap<String, String>,
}

impl Host for Board {
    fn read(&self, path: &str) -> Result<String, Unread> {
        self.files.get(path).cloned().ok_or_else(|| Unread::Absent(path.to_owned()))
    }

    fn read_bytes(&self, path: &str) -> Result<Vec<u8>, Unread> {
        assert_eq!(path, TABLE);
        self.table.clone().unwrap_or_else(|| Err(Unread::Absent(path.to_owned())))
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let inside = self.files.keys().filter_map(|path| path.strip_prefix(folder)?.get(1..));
        let names: BTreeSet<_> = inside.filter_map(|path| path.split('/').next()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn provenance(&self) -> Provenance {
        Provenance::Captured
    }

    fn now(&self) -> String {
        String::new()
    }
}

/// A memory device (type 17) of SMBIOS 2.8 with the fields that we read.
fn place(locator: &str, bank: &str, mebibytes: u32, kind: u8, rated: u16, speed: u16) -> Vec<u8> {
    let mut fields = vec![0_u8; 0x28];
    fields[0] = 17;
    fields[1] = 0x28;
    let size = if mebibytes >= 0x7fff { 0x7fff } else { u16::try_from(mebibytes).unwrap() };
    fields[0x0c..0x0e].copy_from_slice(&size.to_le_bytes());
    fields[0x10..0x12].copy_from_slice(&[1, 2]);
    fields[0x12] = kind;
    fields[0x15..0x17].copy_from_slice(&rated.to_le_bytes());
    fields[0x18] = 3;
    fields[0x1c..0x20].copy_from_slice(&mebibytes.to_le_bytes());
    fields[0x20..0x22].copy_from_slice(&speed.to_le_bytes());
    for text in [locator, bank, "SECRET-SERIAL"] {
        fields.extend(text.bytes());
        fields.push(0);
    }
    fields.push(0);
    fields
}

fn seen(board: &Board) -> (Memory, BTreeMap<String, String>) {
    let (mut memory, mut gaps) = (Memory::default(), Gaps::default());
    fill(board, &mut memory, &mut gaps);
    (memory, gaps.0)
}

fn with_table(table: Vec<u8>) -> Board {
    Board { table: Some(Ok(table)), files: BTreeMap::new() }
}

/// Two sockets of eight channels, every second one empty, modules of 5600 at 4800.
fn server() -> Vec<u8> {
    let slots = (0..2).flat_map(|socket| ('A'..='H').map(move |letter| (socket, letter)));
    let slot = |(socket, letter): (u32, char)| {
        let size = if (letter as u32).is_multiple_of(2) { 0 } else { 65_536 };
        place("DIMM 0", &format!("P{socket} CHANNEL {letter}"), size, 0x22, 5600, 4800)
    };
    slots.flat_map(slot).collect()
}

#[test]
fn a_server_with_half_of_its_channels_empty_and_slow_modules() {
    let (memory, unseen) = seen(&with_table(server()));
    assert_eq!((memory.slots, memory.channels, memory.modules.len()), (Some(16), Some(8), 8));
    assert_eq!((memory.speed_mt_per_s, memory.rated_speed_mt_per_s), (Some(4800), Some(5600)));
    assert_eq!(memory.kind.as_deref(), Some("DDR5"));
    assert_eq!(memory.modules[0].size_bytes, Some(Bytes(64 << 30)));
    assert_eq!(unseen, BTreeMap::new());
    assert!(!serde_json::to_string(&memory).unwrap().contains("SECRET"));
}

#[test]
fn names_tell_channels() {
    let three = |socket: &str, controller: &str, channel: &str| {
        Some((socket.to_owned(), controller.to_owned(), channel.to_owned()))
    };
    for (name, expected) in [
        ("P0 CHANNEL A DIMM 0", three("0", "", "A")),
        ("BANK 0 Controller1-ChannelB-DIMM0", three("", "1", "B")),
        ("DIMM_A1", three("", "", "A")),
        ("NODE 2 CPU1_DIMM_C1", three("1", "", "C")),
        ("CPU_SrcID#0_MC#1_Chan#0_DIMM#0", three("0", "1", "0")),
        ("DIMM_P0_B1", three("0", "", "B")),
        ("DIMM 0", None),
        ("", None),
    ] {
        assert_eq!(channel(name), expected, "{name}");
    }
}

#[test]
fn what_is_not_told_has_its_reason() {
    let denied = Board { table: Some(Err(Unread::Denied(TABLE.into()))), ..Board::default() };
    let (memory, unseen) = seen(&denied);
    assert_eq!(memory, Memory::default());
    assert!(unseen["memory.kind"].contains("only root"));
    assert!(seen(&Board::default()).1["memory.slots"].contains("no table"));
    let (memory, unseen) = seen(&with_table(place("DIMM 0", "BANK 0", 16_384, 7, 0, 0)));
    assert_eq!((memory.kind, memory.channels, memory.modules.len()), (None, None, 1));
    assert!(unseen["memory.kind"].contains("virtual machines"), "{unseen:?}");
    let twice =
        [place("DIMM_A1", "BANK 0", 1024, 26, 0, 0), place("DIMM_A1", "BANK 0", 1024, 26, 0, 0)];
    assert!(seen(&with_table(twice.concat())).1["memory.channels"].contains("same name"));
}

#[test]
fn error_detection_stands_in() {
    let file = |name: &str, text: &str| (format!("{EDAC}/mc0/dimm3/{name}"), text.to_owned());
    let files = [
        file("size", "32768\n"),
        file("dimm_mem_type", "Registered-DDR5\n"),
        file("dimm_label", "CPU_SrcID#0_MC#1_Chan#0_DIMM#0\n"),
    ];
    let (memory, unseen) = seen(&Board { table: None, files: BTreeMap::from(files) });
    assert_eq!((memory.channels, memory.kind.as_deref()), (Some(1), Some("DDR5")));
    assert_eq!(memory.modules[0].size_bytes, Some(Bytes(32 << 30)));
    assert!(unseen.contains_key("memory.slots") && unseen.contains_key("memory.speed_mt_per_s"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..65_536)) {
        let (memory, unseen) = seen(&with_table(bytes));
        prop_assert!(memory.kind.is_some() || unseen.contains_key("memory.kind"));
    }

    #[test]
    fn a_damaged_table_is_survived(end in 0_usize..1200, at in 0_usize..1200, byte: u8) {
        let mut table = server();
        if let Some(place) = table.get_mut(at) {
            *place = byte;
        }
        table.truncate(end);
        let (memory, unseen) = seen(&with_table(table));
        prop_assert!(memory.channels.is_some() || unseen.contains_key("memory.channels"));
    }
}
