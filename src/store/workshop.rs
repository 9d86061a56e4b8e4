//! Folders for what is not finished: beside the place that it will have, gone when dropped, and swept
//! up by the next who works there where a process was killed.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// How such folders' names begin; the kind and the number of the process follow.
const PREFIX: &str = ".autotune-";

/// A new folder within `folder` for one kind of work, a word without `-`.
pub fn workshop(folder: &Path, kind: &str) -> io::Result<TempDir> {
    sweep_up(folder);
    let prefix = format!("{PREFIX}{kind}-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(folder)
}

/// Removes what processes left that were killed.
fn sweep_up(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let process = rest.split('-').nth(1).and_then(|number| number.parse::<u32>().ok());
        if process.is_some_and(|process| !alive(process)) {
            let _: io::Result<()> = fs::remove_dir_all(entry.path());
        }
    }
}

fn alive(process: u32) -> bool {
    let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    let Some(pid) = pid else { return false };
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_and_what_a_living_one_has_stays() {
        let folder = tempfile::tempdir().unwrap();
        let own = workshop(folder.path(), "quantize").unwrap();
        // Above the largest process number that Linux gives.
        let dead = folder.path().join(format!("{PREFIX}mix-4194999-b"));
        let others = ["models", ".autotune-cache"].map(|name| folder.path().join(name));
        for path in others.iter().chain([&dead]) {
            fs::create_dir(path).unwrap();
        }
        let second = workshop(folder.path(), "mix").unwrap();
        assert!(own.path().exists() && second.path().exists() && !dead.exists());
        assert!(others.iter().all(|path| path.exists()));
    }
}
