//! A synthetic model of which only the header is written: enough to be planned, and no more.

use std::io::Write as _;
use std::path::Path;

use autotune_engine::api::Bytes;
use tempfile::NamedTempFile;

use super::SynthError;
use super::cache::Name;
use super::write::{Request, UNFINISHED, outline_of};

/// A file with the header of a model and a hole where its weights would be. It takes a few
/// megabytes whatever the model's size, and is removed when dropped.
#[derive(Debug)]
pub struct Outline {
    file: NamedTempFile,
    /// The size that the whole file would have.
    pub bytes: Bytes,
}

impl Outline {
    /// The file. It can be read as a model, but what it computes is nothing.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Writes the outline of a synthetic model by name (`synth:SHAPE:QUANT`) into a folder.
pub fn outline(name: &str, folder: &Path) -> Result<Outline, SynthError> {
    let name = Name::parse(name)?;
    let request = Request { shape: name.shape, file_type: name.file_type, seed: name.seed };
    let (header, bytes) = outline_of(&request)?;
    let failed = |cause| SynthError::Write { path: folder.to_owned(), cause };
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).suffix(".gguf");
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(&header).map_err(failed)?;
    file.as_file().set_len(bytes.0).map_err(failed)?;
    Ok(Outline { file, bytes })
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::gguf::ModelFile;
    use crate::model::ModelCard;

    #[test]
    fn an_outline_has_the_card_of_the_model_and_goes_away() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = "synth:tiny:q4_k_m";
        let outline = outline(name, folder.path()).expect("it is written");
        let path = outline.path().to_owned();
        let of = |path: &Path| {
            let file = ModelFile::open(path).expect("it is a model");
            let card = ModelCard::of(&file).expect("it has a card");
            // Where it lies and what fills it differ; everything else must not.
            ModelCard { path: "m.gguf".into(), digest: String::new(), ..card }
        };
        let whole =
            super::super::resolve(name, folder.path(), &mut |_, _| ControlFlow::Continue(()));
        assert_eq!(of(&path), of(&whole.expect("it is written")));
        drop(outline);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn the_outline_of_a_large_model_takes_almost_no_room() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let outline = outline("synth:llama-3.1-8b:q4_k_m", folder.path()).expect("it is written");
        let found = outline.path().metadata().expect("it is there");
        assert_eq!(Bytes(found.len()), outline.bytes);
        assert!(outline.bytes > Bytes(4 << 30), "{}", outline.bytes);
        assert!(found.blocks() * 512 < 32 << 20, "{} blocks", found.blocks());
    }
}
