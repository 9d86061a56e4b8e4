//! Writing an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// Above it, making the archive takes longer than looking at the machine.
const LEVEL: i32 = 9;

/// Files and folders in order, so that one machine gives one archive.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) folders: BTreeSet<String>,
}

impl Contents {
    /// Writes beside the file and renames: there is a whole archive or none. Returns its length.
    pub(super) fn write(&self, path: &Path) -> io::Result<u64> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".autotune-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any file the user makes: the system takes the umask off.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        self.pack(file.as_file_mut())?;
        let length = file.as_file().metadata()?.len();
        file.persist(path).map_err(|error| error.error)?;
        Ok(length)
    }

    fn pack(&self, file: &mut File) -> io::Result<()> {
        let mut archive = Builder::new(zstd::Encoder::new(file, LEVEL)?);
        for folder in &self.folders {
            append(&mut archive, folder, EntryType::Directory, &[])?;
        }
        for (path, bytes) in &self.files {
            append(&mut archive, path, EntryType::Regular, bytes)?;
        }
        archive.into_inner()?.finish()?.flush()
    }
}

/// Without owner and date: those are nobody's business and would differ each time.
fn append(
    archive: &mut Builder<impl Write>,
    path: &str,
    kind: EntryType,
    bytes: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_size(bytes.len() as u64);
    header.set_mtime(0);
    let name = path.trim_start_matches('/');
    let name = if kind == EntryType::Directory { format!("{name}/") } else { name.to_owned() };
    archive.append_data(&mut header, name, bytes)
}
