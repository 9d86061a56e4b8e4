//! Captures written and read again; archives that nobody should have made.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use tar::{Builder, EntryType, Header};

use super::super::{Host, Tree, live, machine};
use super::{contents, write};

fn document(host: &dyn Host) -> Value {
    let mut document = serde_json::to_value(machine(host)).unwrap();
    for own in ["captured_at", "provenance"] {
        document[own] = Value::Null;
    }
    document
}

/// The document of a host's capture, as an archive and unpacked by another program's rules.
fn travelled(host: &dyn Host) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("machine.tar.zst");
    let written = write(host, &file).unwrap();
    assert_eq!(written.bytes, fs::metadata(&file).unwrap().len());
    let read = document(&Tree::open(&file).unwrap());
    let plain = zstd::decode_all(fs::File::open(&file).unwrap()).unwrap();
    let root = folder.path().join("unpacked");
    tar::Archive::new(&plain[..]).unpack(&root).unwrap();
    assert_eq!(document(&Tree::open(&root).unwrap()), read, "folder and archive differ");
    read
}

/// That a machine in memory and its capture are one.
pub(in crate::detect) fn travels(shape: &str, host: &dyn Host, found: &mut Vec<String>) {
    let (mut before, after) = (document(host), travelled(host));
    // Servers have names, which stay at home; disks of a cloud are devices like any other.
    let device = before["storage"]["model_cache_path_device"].as_str().unwrap_or_default();
    if before["storage"]["kind"] == "network" && device.contains([':', '/']) {
        before["storage"]["model_cache_path_device"] = "server:/export".into();
    }
    for fact in before.as_object().unwrap().keys() {
        if before[fact] != after[fact] {
            found.push(format!("{shape}: {fact}: {} became {}", before[fact], after[fact]));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_capture_of_this_machine_names_nobody() {
    let contents = contents(&live().with_model_folder("/home/somebody".into())).0;
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut private: Vec<String> =
        ["/etc/machine-id", "/etc/hostname", "/proc/sys/kernel/hostname"]
            .iter()
            .map(|path| line(path))
            .collect();
    for name in ["product_serial", "product_uuid", "board_serial", "chassis_serial"] {
        private.push(line(&format!("/sys/class/dmi/id/{name}")));
    }
    for card in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        private.push(line(&card.path().join("address").to_string_lossy()));
    }
    private.push(line("/proc/sys/kernel/random/boot_id"));
    private.push("somebody".to_owned());
    private.retain(|word| !word.is_empty() && word != "00:00:00:00:00:00" && word != "0");
    assert!(private.len() > 1);
    for (path, bytes) in &contents.files {
        let text = String::from_utf8_lossy(bytes);
        let letter = |c: char| !(c.is_alphanumeric() || "-:_".contains(c));
        for word in &private {
            // Short names are parts of other words: `vm` of `vmx`.
            let found = if word.len() < 6 {
                text.split(letter).any(|part| part == word)
            } else {
                text.contains(word.as_str()) || path.contains(word.as_str())
            };
            assert!(!found, "{path} holds `{word}`");
        }
    }
    assert!(contents.folders.iter().all(|path| !path.contains("/net/")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_capture_of_a_capture_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1.tar.zst"), folder.path().join("2.tar.zst"));
    write(&live(), &first).unwrap();
    let tree = Tree::open(&first).unwrap();
    write(&tree, &second).unwrap();
    assert_eq!(document(&tree), document(&Tree::open(&second).unwrap()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "something was left behind");
}

/// Kind, name, target of a link, bytes.
type Item<'a> = (EntryType, &'a str, &'a str, &'a [u8]);

/// An archive of entries that no path check of the crate has seen.
fn archive(file: &Path, entries: &[Item<'_>]) {
    let encoder = zstd::Encoder::new(fs::File::create(file).unwrap(), 1).unwrap();
    let mut archive = Builder::new(encoder);
    for (kind, name, target, bytes) in entries {
        let mut header = Header::new_gnu();
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.append(&header, *bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing_outside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hostile.tar.zst");
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let absolute = outside.join("a").to_string_lossy().into_owned();
    let deep = "d/".repeat(45) + "x";
    let to_outside = outside.to_string_lossy().into_owned();
    let plain = EntryType::Regular;
    let cases: Vec<(Vec<Item<'_>>, &str)> = vec![
        (vec![(plain, &absolute, "", b"x")], "leads out"),
        (vec![(plain, "proc/../../outside/a", "", b"x")], "leads out"),
        (vec![(EntryType::Link, "proc/a", "/etc/passwd", b"")], "hard link"),
        (vec![(EntryType::Char, "proc/a", "", b"")], "neither file"),
        (vec![(EntryType::Fifo, "proc/a", "", b"")], "neither file"),
        (
            vec![(EntryType::Symlink, "proc", &to_outside, b""), (plain, "proc/a", "", b"x")],
            "no folder",
        ),
        (vec![(plain, "proc", "", b"x"), (plain, "proc/a", "", b"x")], "no folder"),
        (vec![(plain, "sys/a", "", b"x"), (plain, "sys/a", "", b"y")], "exists"),
        (vec![(plain, "etc/a", "", b"x")], "neither proc nor sys"),
    ];
    for (entries, why) in cases {
        archive(&file, &entries);
        let error = Tree::open(&file).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{why}");
    }
    archive(&file, &[(plain, &deep, "", b"x"), (plain, "proc/a", "", b"x")]);
    assert!(Tree::open(&file).is_ok(), "45 folders are deep and allowed");
    for garbage in [&b""[..], b"no archive", &[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff]] {
        fs::write(&file, garbage).unwrap();
        assert!(Tree::open(&file).is_err());
    }
}

#[test]
fn links_in_an_archive_lead_inside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.tar.zst");
    archive(
        &file,
        &[
            (EntryType::Symlink, "proc/version", "../../../../etc/hostname", b""),
            (EntryType::Symlink, "proc/stat", "/etc/hostname", b""),
            (EntryType::Regular, "etc/hostname", "", b"inside"),
        ],
    );
    let tree = Tree::open(&file).unwrap();
    for path in ["/proc/version", "/proc/stat"] {
        assert_eq!(tree.read(path).as_deref(), Ok("inside"), "{path}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bomb.tar.zst");
    let mut encoder = zstd::Encoder::new(fs::File::create(&file).unwrap(), 1).unwrap();
    let mut header = Header::new_gnu();
    header.set_path("proc/bomb").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..300 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap();
    let error = Tree::open(&file).unwrap_err().to_string();
    assert!(error.contains("more than 256 MiB"), "{error}");
}

#[test]
fn a_real_machine_is_known_from_its_capture() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let tree = crate::detect::Tree::open(&folder.join("linux-vm-2c.tar.zst")).unwrap();
    let machine = crate::detect::machine(&tree);
    assert_eq!(machine.provenance, crate::model::Provenance::Captured);
    assert_eq!(machine.os.hypervisor.as_deref(), Some("kvm"));
    assert_eq!(machine.os.container.as_deref(), Some("docker"));
    assert_eq!((machine.cpu.cores, machine.cpu.threads_online), (Some(2), Some(2)));
    assert_eq!(machine.cpu.isa_level.as_deref(), Some("x86-64-v4"));
    assert!(machine.cpu.isa.iter().any(|word| word == "amx_int8"));
    let last = machine.cpu.caches.last().unwrap();
    assert_eq!((last.level, last.instances, last.shared_by_threads), (3, 1, 2));
    assert_eq!(machine.limits.cgroup_version, Some(1));
    assert_eq!(machine.limits.usable_threads, Some(2));
    assert!(machine.gpus.is_empty());
    // The processor's own answers came along.
    let registers = crate::detect::Host::registers(&tree).unwrap();
    assert_eq!(registers.vendor.as_deref(), Some("GenuineIntel"));
    assert!(registers.flags.iter().any(|flag| flag == "avx512_vnni"));
}
