#!/usr/bin/env python3
"""Turns Rust's own documentation into plain text: one file to train on, one held out.

usage: corpus.py HTML_FOLDER OUT_FOLDER

HTML_FOLDER is what Debian's package rust-doc installs as /usr/share/doc/rust-doc/html. The books
are taken page by page, the standard library's pages as their doc comments. Paragraphs that occur
twice are taken once. Every twentieth page of the books is held out as a whole; nothing of a page
that is held out is trained on.
"""

import hashlib
import html.parser
import pathlib
import re
import sys

BOOKS = ["book", "reference", "rust-by-example", "nomicon", "edition-guide", "embedded-book",
         "rustc", "rustdoc"]
HELD_OUT_EVERY = 20
SKIPPED_TAGS = {"script", "style", "nav", "button", "svg", "head", "noscript"}
BLOCKS = {"p", "div", "li", "h1", "h2", "h3", "h4", "h5", "tr", "blockquote", "section", "ul", "ol",
          "table", "details", "summary"}
VOID = {"img", "br", "hr", "input", "meta", "link", "col", "wbr", "source", "area", "base"}


PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--",
                       "\u2013": "-", "\u2026": "..."})


class Text(html.parser.HTMLParser):
    """The readable text of a page: within <main>, or within doc comments of the library."""

    def __init__(self, only_doc_comments):
        super().__init__(convert_charrefs=True)
        self.only_doc_comments = only_doc_comments
        self.stack, self.inside, self.skipping, self.pre = [], 0, 0, 0
        self.parts = []

    def handle_starttag(self, tag, attrs):
        if tag in VOID:
            if tag == "br":
                self.parts.append("\n")
            return
        classes = (dict(attrs).get("class") or "").split()
        opens = ("docblock" in classes) if self.only_doc_comments else tag == "main"
        skips = tag in SKIPPED_TAGS or "boring" in classes or "fa" in classes
        self.stack.append((tag, opens, skips))
        self.inside += opens
        self.skipping += skips
        self.pre += tag == "pre"
        if tag in BLOCKS or tag == "pre":
            self.parts.append("\n\n" if tag != "li" else "\n")

    def handle_endtag(self, tag):
        if not any(open_tag == tag for open_tag, _, _ in self.stack):
            return
        while self.stack:
            open_tag, opened, skipped = self.stack.pop()
            self.inside -= opened
            self.skipping -= skipped
            self.pre -= open_tag == "pre"
            if open_tag in BLOCKS or open_tag == "pre":
                self.parts.append("\n\n" if open_tag != "li" else "\n")
            if open_tag == tag:
                break

    def handle_data(self, data):
        if self.inside and not self.skipping:
            self.parts.append(data if self.pre else re.sub(r"\s+", " ", data))

    def text(self):
        text = "".join(self.parts).replace("\u00a0", " ").replace("\u200b", "")
        text = re.sub(r"[ \t]+\n", "\n", text)
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def page(path, only_doc_comments):
    parser = Text(only_doc_comments)
    parser.feed(path.read_text(encoding="utf-8", errors="replace"))
    return parser.text()


def once(text, seen, longer_than):
    """The text without paragraphs that came before; short ones are structure, and stay."""
    kept = []
    for paragraph in text.split("\n\n"):
        key = hashlib.sha256(paragraph.strip().encode()).digest()
        if len(paragraph) > longer_than and key in seen:
            continue
        seen.add(key)
        kept.append(paragraph)
    return "\n\n".join(kept)


def plain(text):
    """ASCII alone: a small vocabulary has no room for more."""
    return text.translate(PLAIN).encode("ascii", "ignore").decode()


def main(source, target):
    source, target = pathlib.Path(source), pathlib.Path(target)
    train, held_out, seen = [], [], set()
    pages = []
    for book in BOOKS:
        pages += [path for path in sorted((source / book).rglob("*.html"))
                  if path.name not in {"print.html", "toc.html", "404.html", "index.html"}
                  and "src" not in path.relative_to(source).parts]
    held = {path for number, path in enumerate(pages) if number % HELD_OUT_EVERY == 10}
    # First what is held out, so that a paragraph it shares with another page is not trained on.
    for path in sorted(held):
        text = once(page(path, False), seen, 80)
        if len(text) > 400:
            held_out.append(text)
    for path in (path for path in pages if path not in held):
        text = once(page(path, False), seen, 80)
        if len(text) > 400:
            train.append(text)
    for library in ["std", "core", "alloc", "proc_macro"]:
        for path in sorted((source / library).rglob("*.html")):
            text = once(page(path, True), seen, 12)
            if len(text) > 200:
                train.append(text)
    target.mkdir(parents=True, exist_ok=True)
    (target / "train.txt").write_text("\x00".join(map(plain, train)), encoding="ascii")
    (target / "held-out.txt").write_text("\n".join(map(plain, held_out)), encoding="ascii")
    print(f"{len(train)} pages to train on, {sum(map(len, train))} characters; "
          f"{len(held_out)} held out, {sum(map(len, held_out))} characters")


if __name__ == "__main__":
    main(*sys.argv[1:])
