//! Templates: the built-in ones, the user's own, and how text is kept harmless in each format.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use thiserror::Error;

use super::markdown;
use super::plot;
use super::view::ReportView;

const MARKDOWN: &str = include_str!("../../templates/report.md");
const HTML: &str = include_str!("../../templates/report.html");

/// What a template is for: it decides how text is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Markdown: the filter `md` keeps text from outside from being markup.
    Markdown,
    /// HTML: every value is escaped but the plots.
    Html,
}

/// A template that does not work.
#[derive(Debug, Error)]
#[error("the template {name} does not work{}", place(.source))]
pub struct TemplateError {
    /// The template.
    pub name: String,
    /// What minijinja says.
    #[source]
    pub source: minijinja::Error,
}

fn place(error: &minijinja::Error) -> String {
    error.line().map_or(String::new(), |line| format!(" (line {line})"))
}

/// Renders with the built-in template.
pub(super) fn built_in(format: Format, view: &ReportView) -> Result<String, TemplateError> {
    match format {
        Format::Markdown => render("report.md", MARKDOWN, format, view),
        Format::Html => render("report.html", HTML, format, view),
    }
}

/// Renders with this source. A name that cannot be resolved is an error, not an empty string.
pub(super) fn render(
    name: &str,
    source: &str,
    format: Format,
    view: &ReportView,
) -> Result<String, TemplateError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(move |_| match format {
        Format::Html => AutoEscape::Html,
        Format::Markdown => AutoEscape::None,
    });
    environment.set_syntax(lines_of_tags_vanish());
    environment.add_filter("md", |text: String| markdown::escaped(&text));
    environment.add_filter("fence", |text: String| markdown::fenced(&text));
    environment.add_filter("prose", |text: String| Value::from_safe_string(prose(&text)));
    environment.add_filter("code", |text: String| markdown::code(&text));
    let values = context! { report => Serde(view), plot_style => plot::style_sheet() };
    environment
        .render_named_str(name, source, values)
        .map_err(|source| TemplateError { name: name.to_owned(), source })
}

/// A line that holds only a block tag leaves nothing behind.
fn lines_of_tags_vanish() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    syntax.build().expect("only white space was configured")
}

/// Text as HTML in which pairs of backticks become code.
fn prose(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let parts: Vec<&str> = text.split('`').collect();
    let paired = parts.len() % 2 == 1;
    for (place, part) in parts.iter().enumerate() {
        match (paired, place % 2) {
            (true, 1) => html.push_str("<code>"),
            (true, 0) if place > 0 => html.push_str("</code>"),
            (false, _) if place > 0 => html.push('`'),
            _ => {}
        }
        for c in part.chars() {
            match c {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                c => html.push(c),
            }
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_marks_code_and_escapes_the_rest() {
        assert_eq!(prose("run `a<b` & go"), "run <code>a&lt;b</code> &amp; go");
        assert_eq!(prose("odd ` tick"), "odd ` tick");
    }
}
