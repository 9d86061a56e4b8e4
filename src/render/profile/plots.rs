//! Pictures of a profile.

use crate::model::{Profile, Subject};
use crate::render::plot;

/// A picture as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// File name.
    pub name: String,
    /// The drawing.
    pub svg: String,
}

/// Every picture that the profile allows: the roofline, tokens in their order, a flame graph.
#[must_use]
pub fn pictures(profile: &Profile) -> Vec<Picture> {
    let Subject::Model(model) = &profile.subject else { return Vec::new() };
    let mut pictures: Vec<Picture> = plot::of_profile(model)
        .into_iter()
        .map(|plot| Picture { name: format!("{}.svg", plot.name), svg: plot.file() })
        .collect();
    pictures.extend(flame_graph(profile));
    pictures
}

/// The flame graph; `None` without samples, and in a build without it.
#[must_use]
pub fn flame_graph(profile: &Profile) -> Option<Picture> {
    let Subject::Model(model) = &profile.subject else { return None };
    flame::picture(model)
}

#[cfg(feature = "flamegraph")]
mod flame {
    use inferno::flamegraph::{self, Options};

    use super::Picture;
    use crate::model::ModelProfile;

    /// Functions by stretch and file, as wide as their share. What called them is not in the
    /// samples: ggml's kernels are built without frame pointers.
    pub(super) fn picture(model: &ModelProfile) -> Option<Picture> {
        let lines: Vec<String> = model
            .functions
            .iter()
            .map(|one| {
                let frame = |text: &str| text.replace(';', ":").replace('\n', " ");
                format!(
                    "{};{};{} {}",
                    one.stretch.word(),
                    frame(&one.module),
                    frame(&super::super::plain_name(&one.function)),
                    one.samples
                )
            })
            .collect();
        let mut options = Options::default();
        options.title = format!("Where {} runs", model.description);
        "samples".clone_into(&mut options.count_name);
        options.deterministic = true;
        let mut svg = Vec::new();
        // No samples are no picture.
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).ok()?;
        Some(Picture { name: "flame.svg".to_owned(), svg: String::from_utf8(svg).ok()? })
    }
}

#[cfg(not(feature = "flamegraph"))]
mod flame {
    use super::Picture;
    use crate::model::ModelProfile;

    /// Left out of this build.
    pub(super) fn picture(_model: &ModelProfile) -> Option<Picture> {
        None
    }
}
