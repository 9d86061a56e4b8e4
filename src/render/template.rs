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
const SCRIPT: &str = include_str!("../../templates/report.js");

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

/// The templates of a report, and the script of its page.
#[derive(Debug, Clone)]
pub struct Templates {
    markdown: Source,
    html: Source,
    script: String,
}

#[derive(Debug, Clone)]
struct Source {
    /// Told in errors.
    name: String,
    text: String,
}

impl Templates {
    /// The built-in ones, by the names of their files.
    pub const FILES: [(&'static str, &'static str); 3] =
        [("report.md", MARKDOWN), ("report.html", HTML), ("report.js", SCRIPT)];

    /// The built-in ones.
    #[must_use]
    pub fn built_in() -> Self {
        let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        Self {
            markdown: source("report.md", MARKDOWN),
            html: source("report.html", HTML),
            script: SCRIPT.to_owned(),
        }
    }

    /// Takes the user's own template for a format; `name` is told in errors.
    #[must_use]
    pub fn with(mut self, format: Format, name: String, text: String) -> Self {
        let source = Source { name, text };
        match format {
            Format::Markdown => self.markdown = source,
            Format::Html => self.html = source,
        }
        self
    }

    /// Takes the user's own script of the page.
    #[must_use]
    pub fn with_script(mut self, text: String) -> Self {
        self.script = text;
        self
    }

    /// Renders a view.
    pub fn render(&self, format: Format, view: &ReportView) -> Result<String, TemplateError> {
        let source = match format {
            Format::Markdown => &self.markdown,
            Format::Html => &self.html,
        };
        render(source, format, &self.script, view)
    }
}

/// A name that cannot be resolved is an error, not an empty string.
fn render(
    Source { name, text }: &Source,
    format: Format,
    script: &str,
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
    let values = context! {
        report => Serde(view),
        plot_style => plot::style_sheet(),
        script => script.trim_end(),
    };
    environment
        .render_named_str(name, text, values)
        .map_err(|source| TemplateError { name: name.clone(), source })
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
