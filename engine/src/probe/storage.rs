//! Reading a file past the page cache and through it.
//!
//! The file never has a name that outlives its making, so nothing is left behind, whatever ends
//! this process.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::message::{Line, Measured, StorageAsk};
use crate::kernels::Buffer;

/// One read, as large as systems read ahead at most.
const BLOCK: usize = 4 << 20;
/// Reads under way at once: one alone leaves a fast disk idle between two.
const READERS: usize = 4;
/// Parts of the file; each is one sample.
const PARTS: u64 = 12;
/// Smaller files tell of the disk's own cache alone.
const LEAST: u64 = 96 << 20;

/// Writes a file and reads it in parts, first from the disk, then from the page cache.
pub(super) fn run(
    ask: &StorageAsk,
    say: &mut dyn FnMut(&Line) -> io::Result<()>,
) -> io::Result<()> {
    let phase = Duration::from_millis(ask.phase_ms);
    let file = nameless(ask)?;
    let written = fill(&file, ask.bytes, phase)?;
    let part = written / PARTS / BLOCK as u64 * BLOCK as u64;
    if written < LEAST || part == 0 {
        let text =
            format!("only {written} bytes could be written in time, too few to tell of the disk");
        return say(&Line::Caveat(text));
    }
    forget(&file);
    if let Err(why) = direct(&file, true) {
        let text = format!("the page cache is asked to forget, not bypassed: {why}");
        say(&Line::Caveat(text))?;
    }
    let began = Instant::now();
    for at in (0..PARTS).take_while(|_| began.elapsed() < phase) {
        let bytes_per_s = read(&file, at * part, part)?;
        say(&Line::Disk { measured: Measured::Cold, bytes_per_s })?;
    }
    let _ = direct(&file, false);
    let began = Instant::now();
    for at in (0..PARTS).take_while(|_| began.elapsed() < phase) {
        // Once to bring it there.
        read(&file, at * part, part)?;
        let bytes_per_s = read(&file, at * part, part)?;
        say(&Line::Disk { measured: Measured::Cached, bytes_per_s })?;
    }
    Ok(())
}

/// A file that no folder lists: where the system cannot make one, it is unlinked at once.
fn nameless(ask: &StorageAsk) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flag = i32::try_from(rustix::fs::OFlags::TMPFILE.bits()).unwrap_or(0);
        if let Ok(file) = options.clone().custom_flags(flag).mode(0o600).open(&ask.folder) {
            return Ok(file);
        }
    }
    let path = ask.folder.join(format!(".autotune-probe-{}", std::process::id()));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Writes what no file system can pack, until it is large enough, the disk is almost full or the
/// time is over; it is on the disk when this returns.
fn fill(file: &File, bytes: u64, phase: Duration) -> io::Result<u64> {
    let free = rustix::fs::fstatvfs(file).map(|found| found.f_bavail * found.f_frsize);
    let most = bytes.min(free.unwrap_or(0) / 10);
    let mut block = vec![0_u8; BLOCK];
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(1);
    let (began, mut written) = (Instant::now(), 0);
    chance.fill_bytes(&mut block);
    while written + BLOCK as u64 <= most && began.elapsed() < phase {
        // Every block is another one, so that none can stand for two.
        let stamp = chance.next_u64().to_le_bytes();
        for place in block.chunks_exact_mut(512) {
            place.iter_mut().zip(stamp).for_each(|(byte, stamp)| *byte ^= stamp);
        }
        (&*file).write_all(&block)?;
        written += BLOCK as u64;
        if written % (16 * BLOCK as u64) == 0 {
            file.sync_data()?;
        }
    }
    file.sync_all()?;
    Ok(written)
}

/// Has the page cache drop the file.
fn forget(file: &File) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Bypasses the page cache, or no longer.
#[cfg(target_os = "linux")]
fn direct(file: &File, on: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(file)?;
    fcntl_setfl(file, if on { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT })?;
    if on {
        // Some file systems agree and refuse the first read.
        let mut block = Buffer::new(BLOCK)?;
        if let Err(error) = file.read_exact_at(&mut block.octets_mut()[..BLOCK], 0) {
            fcntl_setfl(file, flags)?;
            return Err(error);
        }
    }
    Ok(())
}

/// This system has no such way.
#[cfg(not(target_os = "linux"))]
fn direct(_file: &File, _on: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Reads a part with several readers; bytes per second.
fn read(file: &File, from: u64, bytes: u64) -> io::Result<f64> {
    let next = AtomicU64::new(from);
    let reader = || -> io::Result<()> {
        let mut block = Buffer::new(BLOCK)?;
        // A page fault is no part of reading.
        block.touch();
        loop {
            let at = next.fetch_add(BLOCK as u64, Ordering::Relaxed);
            if at >= from + bytes {
                return Ok(());
            }
            file.read_exact_at(&mut block.octets_mut()[..BLOCK], at)?;
        }
    };
    let began = Instant::now();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(reader)).collect();
        readers.into_iter().try_for_each(|reader| {
            reader.join().unwrap_or_else(|_| Err(io::Error::other("a reader ended")))
        })
    })?;
    Ok(bytes as f64 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_left_as_it_was_and_both_ways_are_measured() {
        let folder = tempfile::tempdir().unwrap();
        let ask = StorageAsk { folder: folder.path().to_owned(), bytes: LEAST, phase_ms: 60_000 };
        let mut lines = Vec::new();
        run(&ask, &mut |line| {
            lines.push(line.clone());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            Ok(())
        })
        .unwrap();
        for wanted in [Measured::Cold, Measured::Cached] {
            let count = lines
                .iter()
                .filter(|line| matches!(line, Line::Disk { measured, .. } if *measured == wanted))
                .count();
            assert_eq!(count, 12, "{lines:?}");
        }
    }

    #[test]
    fn too_small_a_file_is_a_caveat() {
        let folder = tempfile::tempdir().unwrap();
        let ask = StorageAsk { folder: folder.path().to_owned(), bytes: 1 << 20, phase_ms: 1000 };
        let mut lines = Vec::new();
        run(&ask, &mut |line| {
            lines.push(line.clone());
            Ok(())
        })
        .unwrap();
        assert!(matches!(lines[..], [Line::Caveat(_)]), "{lines:?}");
    }
}
