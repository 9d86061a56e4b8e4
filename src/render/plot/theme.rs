//! Colours of plots, as attributes that any viewer understands and classes that dark mode changes.
//!
//! plotters writes every colour as six hexadecimal digits. Each [`Ink`] therefore draws in a key
//! colour of its own, and [`themed`] replaces the keys by the light colour and a class: a viewer
//! without style sheets shows the light one.

use plotters::style::RGBColor;

/// What a stroke means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Text,
    Muted,
    Grid,
    Dashed,
    Default,
    Tuned,
    Prefill,
    Decode,
    Bad,
    Band,
}

const ALL: [Ink; 10] = [
    Ink::Text,
    Ink::Muted,
    Ink::Grid,
    Ink::Dashed,
    Ink::Default,
    Ink::Tuned,
    Ink::Prefill,
    Ink::Decode,
    Ink::Bad,
    Ink::Band,
];

impl Ink {
    /// Class suffix, colour on light and on dark paper.
    fn colours(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Text => ("text", "#1c2126", "#e7eaed"),
            Self::Muted => ("muted", "#5b6570", "#a3adb8"),
            Self::Grid => ("grid", "#dfe3e8", "#2c333b"),
            Self::Dashed => ("dashed", "#7a8590", "#8a95a1"),
            Self::Default => ("default", "#6a7480", "#98a3af"),
            Self::Tuned => ("tuned", "#0b7a69", "#3fc9b1"),
            Self::Prefill => ("prefill", "#a8530a", "#f0a35e"),
            Self::Decode => ("decode", "#2456c4", "#7fa8ff"),
            Self::Bad => ("bad", "#b3261e", "#ff8a80"),
            Self::Band => ("band", "#cfe8e3", "#16423b"),
        }
    }

    /// The colour that plotters draws with: a key, never seen.
    pub(super) fn key(self) -> RGBColor {
        let place = ALL.iter().position(|ink| *ink == self).expect("ALL lists every ink");
        RGBColor(1, 2, u8::try_from(place).expect("there are few inks"))
    }
}

/// The drawing with keys replaced.
pub(super) fn themed(mut svg: String) -> String {
    for ink in ALL {
        let (name, light, _) = ink.colours();
        let RGBColor(r, g, b) = ink.key();
        let key = format!("#{r:02X}{g:02X}{b:02X}");
        let dash = if ink == Ink::Dashed { " stroke-dasharray=\"40 32\"" } else { "" };
        svg = svg.replace(
            &format!("stroke=\"{key}\""),
            &format!("stroke=\"{light}\"{dash} class=\"ps-{name}\""),
        );
        svg = svg
            .replace(&format!("fill=\"{key}\""), &format!("fill=\"{light}\" class=\"pf-{name}\""));
    }
    svg
}

/// Rules for the classes: light first, dark where it is preferred on a screen.
pub(super) fn style_sheet() -> String {
    let rules =
        |pick: fn((&'static str, &'static str, &'static str)) -> (&'static str, &'static str)| {
            ALL.iter().fold(String::new(), |text, ink| {
                let (name, colour) = pick(ink.colours());
                text + &format!(".ps-{name}{{stroke:{colour}}}.pf-{name}{{fill:{colour}}}")
            })
        };
    format!(
        ".hint:hover{{stroke:currentColor;stroke-opacity:.5;\
         stroke-width:8}}{}\n@media screen and (prefers-color-scheme:dark){{{}}}",
        rules(|(name, light, _)| (name, light)),
        rules(|(name, _, dark)| (name, dark))
    )
}
