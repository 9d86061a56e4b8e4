//! `docs/DOCTOR.md` lists the checks as they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::doctor::CHECKS;

const BEGIN: &str = "<!-- checks -->\n";
const END: &str = "<!-- end of checks -->";

fn table() -> String {
    let rows = CHECKS.iter().map(|check| {
        let figure = match check.figure() {
            Some(figure) => format!("[{}]({})", figure.text, figure.source),
            None => "none known".to_owned(),
        };
        format!("| `{}` | {} | {figure} |\n", check.id(), check.title())
    });
    format!("| check | looks at | public figure |\n|---|---|---|\n{}", rows.collect::<String>())
}

#[test]
fn the_document_lists_every_check() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DOCTOR.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("AUTOTUNE_UPDATE_GOLDENS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(written, table(), "AUTOTUNE_UPDATE_GOLDENS=1 writes the table anew");
}

#[test]
fn no_two_checks_share_a_name() {
    let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.id()).collect();
    assert_eq!(names.len(), CHECKS.len());
    for check in CHECKS {
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(check.id().chars().all(plain), "{}", check.id());
        assert!(!check.title().is_empty() && !check.title().ends_with('.'), "{}", check.title());
        if let Some(figure) = check.figure() {
            assert!(figure.source.starts_with("https://github.com/"), "{}", figure.source);
            assert!(figure.factor.is_none_or(|factor| factor > 1.0), "{}", figure.text);
        }
    }
}
