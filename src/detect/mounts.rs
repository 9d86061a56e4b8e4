//! What is mounted where, from `/proc/self/mountinfo`.

use std::path::Path;

use super::Host;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// `major:minor` of the device.
    pub(super) device: String,
    /// The folder of the file system that is mounted.
    pub(super) root: String,
    /// Where.
    pub(super) point: String,
    /// For example `ext4`.
    pub(super) kind: String,
    /// For example `/dev/sda2`.
    pub(super) source: String,
    /// Options of the file system.
    pub(super) options: Vec<String>,
}

/// All mounts, in the order in which they were made.
pub(super) fn all(host: &dyn Host) -> Vec<Mount> {
    host.read("/proc/self/mountinfo").unwrap_or_default().lines().filter_map(mount).collect()
}

/// One line.
pub(super) fn mount(line: &str) -> Option<Mount> {
    let (first, second) = line.split_once(" - ")?;
    let first: Vec<&str> = first.split(' ').collect();
    let mut second = second.split(' ');
    Some(Mount {
        device: (*first.get(2)?).to_owned(),
        root: unescape(first.get(3)?),
        point: unescape(first.get(4)?),
        kind: second.next()?.to_owned(),
        source: unescape(second.next()?),
        options: second.next().unwrap_or_default().split(',').map(str::to_owned).collect(),
    })
}

/// Spaces, tabs, line ends and backslashes are written as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (written, meant)| text.replace(written, meant))
}

/// The mount that a path lies on: the deepest one, and of those the last.
pub(super) fn below<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let holding = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    holding.max_by_key(|mount| Path::new(&mount.point).components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_holds_a_path_and_a_later_one_hides_an_earlier_one() {
        let text = "21 1 8:2 / / rw - ext4 /dev/sda2 rw\n\
                    30 21 0:50 / /home rw shared:1 - nfs4 nas:/home rw\n\
                    31 21 8:17 / /home/my\\040models rw - xfs /dev/sdb1 rw\n\
                    32 21 8:33 / /home/my\\040models rw - xfs /dev/sdc1 rw\n\
                    garbage";
        let mounts: Vec<Mount> = text.lines().filter_map(mount).collect();
        assert_eq!(mounts.len(), 4);
        for (path, source) in [
            ("/home/my models/a.gguf", "/dev/sdc1"),
            ("/home/other", "nas:/home"),
            ("/homeless", "/dev/sda2"),
        ] {
            assert_eq!(below(&mounts, Path::new(path)).unwrap().source, source);
        }
    }
}
