//! A profile for people: text of 80 columns, and Markdown.

mod activity;
mod comparison;
mod counters;
mod model;
mod plots;
mod sheet;

use autotune_engine::api::Stretch;

use crate::bottleneck::Comparison;
use crate::model::{Metric, Profile, Subject};
use sheet::Sheet;

pub use plots::{Picture, flame_graph, pictures};

/// Text for a terminal.
#[must_use]
pub fn text(profile: &Profile) -> String {
    match &profile.subject {
        Subject::Command(command) => activity::text(profile, command),
        Subject::Model(model) => with_caveats(model::sheet(profile, model), profile).text(),
        Subject::Counters(counters) => with_caveats(counters::sheet(counters), profile).text(),
    }
}

/// Markdown.
#[must_use]
pub fn markdown(profile: &Profile) -> String {
    match &profile.subject {
        Subject::Command(command) => activity::markdown(profile, command),
        Subject::Model(model) => with_caveats(model::sheet(profile, model), profile).markdown(),
        Subject::Counters(counters) => with_caveats(counters::sheet(counters), profile).markdown(),
    }
}

/// Two profiles beside each other, for a terminal.
#[must_use]
pub fn comparison_text(comparison: &Comparison) -> String {
    comparison::sheet(comparison).text()
}

/// The same as Markdown.
#[must_use]
pub fn comparison_markdown(comparison: &Comparison) -> String {
    comparison::sheet(comparison).markdown()
}

/// The word for a stretch at the beginning of a sentence.
pub(in crate::render) fn capitalised(stretch: Stretch) -> String {
    let mut word = stretch.word().to_owned();
    word[..1].make_ascii_uppercase();
    word
}

/// Name, value and formula of what follows from counters.
pub(in crate::render) fn counter_row(metric: &Metric) -> Vec<String> {
    counters::row_of(metric)
}

/// A function's name without what C++ writes around it.
pub(in crate::render) fn plain_name(name: &str) -> String {
    model::plain(name)
}

fn with_caveats(mut sheet: Sheet, profile: &Profile) -> Sheet {
    for caveat in &profile.caveats {
        sheet.row("caveat", caveat);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::golden;

    /// A profile that was recorded of a tiny model.
    fn recorded() -> Profile {
        serde_json::from_str(include_str!("../../tests/goldens/profile.json")).unwrap()
    }

    #[test]
    fn a_recorded_profile_is_the_golden_one_in_text_and_markdown() {
        let text = anstream::adapter::strip_str(&text(&recorded())).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        golden("profile.txt", &text);
        golden("profile.md", &markdown(&recorded()));
    }

    #[test]
    fn pictures_are_well_formed_and_say_what_they_show() {
        let pictures = pictures(&recorded());
        let names: Vec<&str> = pictures.iter().map(|picture| picture.name.as_str()).collect();
        assert!(names.contains(&"roofline.svg") && names.contains(&"token-times.svg"), "{names:?}");
        assert_eq!(names.contains(&"flame.svg"), cfg!(feature = "flamegraph"));
        for picture in &pictures {
            assert!(picture.svg.contains("<svg") && picture.svg.trim_end().ends_with("</svg>"));
        }
    }

    #[test]
    fn hostile_names_stay_text() {
        let mut profile = recorded();
        let Subject::Model(model) = &mut profile.subject else { panic!("it is of a model") };
        "<script>alert(1)</script>\u{1b}[31m".clone_into(&mut model.description);
        "<img src=x>|`".clone_into(&mut model.functions[0].function);
        let (text, page) = (super::text(&profile), markdown(&profile));
        assert!(!page.replace("\\<", "").contains('<'), "{page}");
        assert!(!anstream::adapter::strip_str(&text).to_string().contains('\u{1b}'));
        for picture in pictures(&profile) {
            assert!(!picture.svg.contains("<script>alert") && !picture.svg.contains("<img"));
        }
    }
}
