//! Names of strangers, made fit to be shown: a newline in a function's name forges a line of a report, and an
//! escape sequence types into the reader's terminal.

use std::borrow::Cow;

/// Whether `c` may be shown: not a control character, not one that turns the direction of text around, and not
/// one that XML forbids.
fn shown(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    let no_xml = matches!(c, '\u{fffe}' | '\u{ffff}');
    !(c.is_control() || turns || breaks || no_xml)
}

/// `text` with each character that must not be shown, and each of `also`, replaced by `by`. Allocates only if
/// there is one.
pub(crate) fn replaced<'a>(text: &'a str, also: &[char], by: char) -> Cow<'a, str> {
    let fine = |c: char| shown(c) && !also.contains(&c);
    if text.chars().all(fine) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if fine(c) { c } else { by }).collect())
}

/// One line for a terminal: what must not be shown is `?`.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    replaced(text, &[], '?')
}

/// At most `chars_max` characters of `text`: its beginning and its end, which says more than the middle.
pub(crate) fn shortened(text: &str, chars_max: usize) -> Cow<'_, str> {
    let count = text.chars().count();
    if count <= chars_max || chars_max < 3 {
        return Cow::Borrowed(text);
    }
    let head = (chars_max - 1) / 2;
    let tail = chars_max - 1 - head;
    let begins: String = text.chars().take(head).collect();
    let ends: String = text.chars().skip(count - tail).collect();
    Cow::Owned(format!("{begins}…{ends}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_shown_is_replaced() {
        assert_eq!(line("a::b<T>"), "a::b<T>");
        assert_eq!(line("a\nb\x1b[31m\u{202e}"), "a?b?[31m?");
        assert_eq!(replaced("a;b", &[';'], ':'), "a:b");
    }

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(shortened("abcdefghij", 10), "abcdefghij");
        assert_eq!(shortened("abcdefghijk", 10), "abcd…ghijk");
        assert_eq!(shortened("äöüäöüäöü", 5), "äö…öü");
    }
}
