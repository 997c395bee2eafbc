//! The frame of every page, and the one way by which text gets into it.

use std::fmt;
use std::io::{self, Write};

use crate::clean;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the browser may do: run and draw what is in the file, and fetch nothing at all.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'";

/// Characters of a function's name; those of generic code run to thousands.
const NAME_CHARS_MAX: usize = 300;

/// Begins a page, to the inside of its body.
pub(super) fn begin(title: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta http-equiv=Content-Security-Policy content=\"{POLICY}\">\n\
         <meta name=viewport content=\"width=device-width\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         <noscript><style>tr[hidden]{{display:table-row}}.needs-script{{display:none}}</style></noscript>\n\
         </head>\n<body>\n<main>",
        text(title)
    )
}

/// Ends it.
pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>")?;
    out.flush()
}

/// Text of anybody, as text of the page: also within the quotes of an attribute.
pub(super) fn text(text: &str) -> Text<'_> {
    Text(text)
}

/// A function's name, as text of the page and not longer than is read.
pub(super) fn name(function: &str) -> String {
    text(&clean::shortened(&clean::line(function), NAME_CHARS_MAX)).to_string()
}

/// Text that is escaped while it is written.
pub(super) struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in clean::line(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// A column of a table that can be sorted by it.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// What the title leaves unsaid.
    pub(super) hint: &'static str,
    /// Whether it holds numbers; those are sorted with the largest first.
    pub(super) number: bool,
}

/// The head of a table. Rows come sorted by `sorted_by`, the largest first.
pub(super) fn table_head(columns: &[Column], sorted_by: usize, out: &mut impl Write) -> io::Result<()> {
    write!(out, "<thead><tr>")?;
    for (at, Column { title, hint, number }) in columns.iter().enumerate() {
        let sorted = if at == sorted_by { " aria-sort=descending" } else { "" };
        let kind = if *number { " class=n" } else { "" };
        write!(
            out,
            "<th scope=col{kind}{sorted}><button type=button title=\"{hint}\">{title}</button></th>"
        )?;
    }
    writeln!(out, "</tr></thead>")
}

/// What stands above a table: how many rows there are, and the means to find one.
pub(super) fn table_tools(shown: usize, all: usize, what: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "<p class=tools><label class=needs-script>Find <input type=search id=find autocomplete=off \
         spellcheck=false></label> <button type=button id=all class=needs-script hidden>Show all {shown} rows\
         </button> <span id=count role=status>{shown} of {all} {what}</span></p>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_wherever_it_stands() {
        let hostile = "</script><img src=x onerror=\"alert('1')\">&\n\u{202e}";
        let escaped = text(hostile).to_string();
        assert_eq!(escaped, "&lt;/script&gt;&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;??");
        assert!(!name(&"<".repeat(5000)).contains('<'));
        assert!(name(&"<".repeat(5000)).len() < 4 * NAME_CHARS_MAX + 10);
    }
}
