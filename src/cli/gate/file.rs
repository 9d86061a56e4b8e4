//! The gate's file in a project: what is measured, how it is judged, what is accepted.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::percent::{Limits, Percent};
use crate::cli::global::bounded_text;
use crate::cli::{Exit, Printer, Stop, report};
use crate::gate::Quantity;
use crate::model::Waiver;

/// Where it lies unless another one is named.
pub(super) const USUAL: &str = ".autotune/gate.toml";
/// Most bytes of it.
const LIMIT_BYTES: u64 = 1 << 20;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    gate: GateFile,
}

/// Its one table. Every key is a flag's name, which beats it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GateFile {
    pub(super) alpha: Option<f64>,
    pub(super) power: Option<f64>,
    pub(super) budget: Option<String>,
    pub(super) max_blocks: Option<u32>,
    pub(super) on_inconclusive: Option<String>,
    pub(super) confirm: Option<String>,
    pub(super) max_mde: Option<Percent>,
    pub(super) store: Option<PathBuf>,
    #[serde(default)]
    delta: std::collections::BTreeMap<String, Percent>,
    #[serde(default, rename = "cell")]
    pub(super) cells: Vec<FileCells>,
    #[serde(default, rename = "waiver")]
    waivers: Vec<FileWaiver>,
}

/// A model and what is measured of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCells {
    pub(super) model: String,
    #[serde(default)]
    pub(super) tests: Vec<String>,
    #[serde(default = "yes")]
    pub(super) blocking: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWaiver {
    cell: String,
    ceiling: Percent,
    reason: String,
    issue: String,
    expires: String,
}

impl GateFile {
    /// Reads the file that was named, or the usual one if it is there.
    pub(super) fn read(named: Option<&Path>) -> Result<Self, Stop> {
        let usual = Path::new(USUAL);
        let path = match named {
            Some(path) => path,
            None if usual.is_file() => usual,
            None => return Ok(Self::default()),
        };
        let wrong = |why: String| {
            Stop::usage(format!("the gate's file {} is wrong: {why}", path.display()))
        };
        let text = bounded_text(path, LIMIT_BYTES)
            .map_err(|why| Stop::usage(format!("cannot read {}: {why}", path.display())))?;
        let found = Self::parse(&text).map_err(wrong)?;
        found.waivers(None).map_err(wrong)?;
        Ok(found)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.message().trim().to_owned())?;
        for cells in &file.gate.cells {
            for test in &cells.tests {
                test.parse::<Quantity>().map_err(|error| error.to_string())?;
            }
        }
        Ok(file.gate)
    }

    /// The limits it has.
    pub(super) fn limits(&self) -> Limits {
        Limits { all: None, by_metric: self.delta.clone() }
    }

    /// Its waivers, all checked; of several for a cell the last counts, so that one is renewed by
    /// adding to the file. With the date of today those that have expired are left out.
    pub(super) fn waivers(&self, today: Option<&str>) -> Result<Vec<Waiver>, String> {
        let mut all: Vec<Waiver> = Vec::new();
        for waiver in self.waivers.iter().map(checked) {
            let waiver = waiver?;
            all.retain(|other| other.cell != waiver.cell);
            all.push(waiver);
        }
        all.retain(|waiver| today.is_none_or(|today| waiver.expires.as_str() >= today));
        Ok(all)
    }

    /// Cells whose waivers have expired.
    pub(super) fn expired(&self, today: &str) -> Result<Vec<String>, String> {
        let all = self.waivers(None)?.into_iter();
        Ok(all.filter(|it| it.expires.as_str() < today).map(|it| it.cell).collect())
    }
}

fn checked(waiver: &FileWaiver) -> Result<Waiver, String> {
    let name = &waiver.cell;
    for (what, text) in [("cell", name), ("reason", &waiver.reason), ("issue", &waiver.issue)] {
        if text.trim().is_empty() {
            return Err(format!("a waiver has no {what}"));
        }
    }
    let expires: jiff::civil::Date = waiver
        .expires
        .parse()
        .map_err(|_| format!("the waiver of `{name}` expires on `{}`, no date", waiver.expires))?;
    Ok(Waiver {
        cell: name.clone(),
        ceiling: waiver.ceiling.share(),
        reason: waiver.reason.clone(),
        issue: waiver.issue.clone(),
        // As it sorts, however it was written.
        expires: expires.to_string(),
    })
}

/// Adds a waiver to the file at a path, which is made if need be, and says nothing that it does
/// not hold afterwards.
pub(super) fn accept(
    path: &Path,
    waiver: &Waiver,
    ceiling: &str,
    printer: Printer,
) -> Result<Exit, Stop> {
    let mut text = if path.exists() {
        bounded_text(path, LIMIT_BYTES)
            .map_err(|why| Stop::usage(format!("cannot read {}: {why}", path.display())))?
    } else {
        String::new()
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    text.push_str("\n[[gate.waiver]]\n");
    for (key, value) in [
        ("cell", waiver.cell.as_str()),
        ("ceiling", ceiling),
        ("reason", &waiver.reason),
        ("issue", &waiver.issue),
        ("expires", &waiver.expires),
    ] {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
    let found = GateFile::parse(&text).and_then(|file| file.waivers(None).map(|_| ()));
    found.map_err(|why| Stop::usage(format!("the waiver cannot be added: {why}")))?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    }
    report::write(path, &text, printer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[gate]
alpha = 0.01
budget = "10m"
max_mde = "5%"
[gate.delta]
tg = "2%"
[[gate.cell]]
model = "synth:tiny:q8_0"
tests = ["pp64", "tg16@d128"]
[[gate.waiver]]
cell = "tiny-q8_0/tg16"
ceiling = "6%"
reason = "the new sampler"
issue = "https://example.org/1"
expires = "2027-01-31"
"#;

    #[test]
    fn a_file_is_read_and_waivers_expire() {
        let file = GateFile::parse(FILE).unwrap();
        assert_eq!(file.limits().of("tg"), Some(0.02));
        assert!(file.cells[0].blocking);
        assert_eq!(file.waivers(Some("2027-01-31")).unwrap().len(), 1);
        assert_eq!(file.waivers(Some("2027-02-01")).unwrap().len(), 0);
        assert_eq!(file.expired("2027-02-01").unwrap(), ["tiny-q8_0/tg16"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (old, new, word) in [
            ("alpha", "aplha", "aplha"),
            ("6%", "600%", "at most 100%"),
            ("2027-01-31", "soon", "no date"),
            ("the new sampler", " ", "no reason"),
            ("pp64", "pp", "is no test"),
            ("reason = \"the new sampler\"", "", "reason"),
        ] {
            let text = FILE.replace(old, new);
            let found = GateFile::parse(&text).and_then(|file| file.waivers(None).map(|_| ()));
            let message = found.unwrap_err();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn an_accepted_slowdown_is_in_the_file_beside_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/gate.toml");
        let waiver = Waiver {
            cell: "a/\"b\"".to_owned(),
            ceiling: 0.04,
            reason: "line\nbreak".to_owned(),
            issue: "i".to_owned(),
            expires: "2027-01-31".to_owned(),
        };
        accept(&path, &waiver, "4%", Printer::default()).unwrap();
        let kept = GateFile::read(Some(&path)).unwrap().waivers(None).unwrap();
        assert_eq!(kept, std::slice::from_ref(&waiver));
        let renewed = Waiver { expires: "2028-01-31".to_owned(), ..waiver.clone() };
        accept(&path, &renewed, "4%", Printer::default()).unwrap();
        assert_eq!(GateFile::read(Some(&path)).unwrap().waivers(None).unwrap(), [renewed]);
        std::fs::write(&path, FILE).unwrap();
        accept(&path, &waiver, "4%", Printer::default()).unwrap();
        let file = GateFile::read(Some(&path)).unwrap();
        assert_eq!(file.waivers(None).unwrap().len(), 2);
        assert_eq!(file.budget.as_deref(), Some("10m"));
    }
}
