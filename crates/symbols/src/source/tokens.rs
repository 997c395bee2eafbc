//! The words and brackets of a Rust source file. What is left out are comments, and what stands in literals: a brace in
//! a string opens nothing.
//!
//! This is less than a compiler's lexer: numbers and most signs are only told from words, so that syntax which is newer
//! than this program is read all the same.

/// What a token is, as far as it is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name.
    Word,
    /// A name that was written `r#name`, and so is no keyword; the text is without the `r#`.
    RawName,
    /// `(`, `[` or `{`.
    Open(u8),
    /// `)`, `]` or `}`.
    Close(u8),
    /// `->` and `=>`, whose `>` closes nothing.
    Arrow,
    /// `::`.
    Colons,
    /// Another sign, by its first byte.
    Sign(u8),
    /// A literal or a lifetime.
    Other,
}

/// One token, and the line on which it ends, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) line: u32,
}

impl<'a> Token<'a> {
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    /// The text of a word that can be a name.
    pub(super) fn name(&self) -> Option<&'a str> {
        matches!(self.kind, Kind::Word | Kind::RawName).then_some(self.text)
    }
}

/// The tokens of a text, in order. Allocates nothing.
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    broken: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut tokens = Self { text, at: 0, line: 1, broken: false };
        // A script's first line is not Rust; `#![…]` is.
        if text.strip_prefix("#!").is_some_and(|rest| !rest.trim_start().starts_with('[')) {
            tokens.skip_line();
        }
        tokens
    }

    /// Whether the text ended within a string or a comment.
    pub(super) fn broken(&self) -> bool {
        self.broken
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// Passes `count` bytes, none of which ends a line.
    fn pass(&mut self, count: usize) {
        self.at = (self.at + count).min(self.text.len());
    }

    /// Passes one byte, if there is one.
    fn step(&mut self) -> Option<u8> {
        let byte = self.byte(0)?;
        self.at += 1;
        self.line += u32::from(byte == b'\n');
        Some(byte)
    }

    fn skip_line(&mut self) {
        while self.byte(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    /// Passes what means nothing.
    fn skip_blank(&mut self) {
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(byte), _) if byte.is_ascii_whitespace() || byte == b'\x0b' => {
                    self.step();
                }
                (Some(b'/'), Some(b'/')) => self.skip_line(),
                (Some(b'/'), Some(b'*')) => self.skip_comment(),
                _ => return,
            }
        }
    }

    /// Passes a comment that may have comments in it.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.pass(2);
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.pass(2);
                    if depth == 0 {
                        return;
                    }
                }
                (Some(_), _) => {
                    self.step();
                }
                (None, _) => {
                    self.broken = true;
                    return;
                }
            }
        }
    }

    /// Passes the rest of a literal, up to the quote that is not escaped.
    fn skip_quoted(&mut self, quote: u8) {
        loop {
            match self.step() {
                Some(b'\\') => {
                    self.step();
                }
                Some(byte) if byte == quote => return,
                Some(_) => {}
                None => {
                    self.broken = true;
                    return;
                }
            }
        }
    }

    /// Passes the rest of a raw string, up to a quote with so many `#`.
    fn skip_raw(&mut self, hashes: usize) {
        loop {
            match self.step() {
                Some(b'"') if (0..hashes).all(|ahead| self.byte(ahead) == Some(b'#')) => {
                    return self.pass(hashes);
                }
                Some(_) => {}
                None => {
                    self.broken = true;
                    return;
                }
            }
        }
    }

    fn skip_word(&mut self) {
        while self.byte(0).is_some_and(is_word) {
            self.at += 1;
        }
    }

    /// After a word: what it makes of what follows it, as `b` and `r#` do of a string.
    fn after_word(&mut self, word: &str) -> Kind {
        let hashes = (0..).take_while(|&ahead| self.byte(ahead) == Some(b'#')).count();
        let behind = self.byte(hashes);
        match word {
            "r" | "br" | "cr" if behind == Some(b'"') => {
                self.pass(hashes + 1);
                self.skip_raw(hashes);
                Kind::Other
            }
            "r" if hashes == 1 && behind.is_some_and(is_word) => {
                self.pass(1);
                self.skip_word();
                Kind::RawName
            }
            "b" | "c" if hashes == 0 && behind == Some(b'"') => {
                self.pass(1);
                self.skip_quoted(b'"');
                Kind::Other
            }
            "b" if hashes == 0 && behind == Some(b'\'') => {
                self.pass(1);
                self.skip_quoted(b'\'');
                Kind::Other
            }
            _ => Kind::Word,
        }
    }

    /// After a `'`: a character if a second one closes it, else a lifetime.
    fn after_tick(&mut self) {
        if self.byte(0) == Some(b'\\') {
            return self.skip_quoted(b'\'');
        }
        let mut rest = self.text[self.at..].chars();
        let first = rest.next().map_or(0, char::len_utf8);
        if rest.next() == Some('\'') {
            for _ in 0..=first {
                self.step();
            }
        } else {
            self.skip_word();
        }
    }

    /// Passes one token that begins with `first`.
    fn token(&mut self, first: u8) -> Kind {
        let begin = self.at;
        if first.is_ascii_digit() {
            self.skip_word();
            return Kind::Other;
        }
        if is_word(first) {
            self.skip_word();
            let text = self.text;
            return self.after_word(&text[begin..self.at]);
        }
        self.pass(1);
        match (first, self.byte(0)) {
            (b'"', _) => {
                self.skip_quoted(b'"');
                Kind::Other
            }
            (b'\'', _) => {
                self.after_tick();
                Kind::Other
            }
            (b'(' | b'[' | b'{', _) => Kind::Open(first),
            (b')' | b']' | b'}', _) => Kind::Close(first),
            (b'-' | b'=', Some(b'>')) => {
                self.pass(1);
                Kind::Arrow
            }
            (b':', Some(b':')) => {
                self.pass(1);
                Kind::Colons
            }
            (b'!', Some(b'=')) => {
                self.pass(1);
                Kind::Sign(b'=')
            }
            _ => Kind::Sign(first),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let begin = self.at;
        let kind = self.token(self.byte(0)?);
        let text = &self.text[begin..self.at];
        let text = if kind == Kind::RawName { &text["r#".len()..] } else { text };
        Some(Token { kind, text, line: self.line })
    }
}

/// Whether a byte belongs to a word; letters beyond ASCII count as such.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words, brackets and signs of a text, with their lines.
    fn told(text: &str) -> String {
        let mut tokens = Tokens::new(text);
        let words: Vec<String> = tokens
            .by_ref()
            .filter(|token| token.kind != Kind::Other)
            .map(|token| format!("{}:{}", token.text, token.line))
            .collect();
        assert!(!tokens.broken(), "{text}");
        words.join(" ")
    }

    #[test]
    fn what_stands_in_literals_and_comments_is_left_out() {
        for (text, expected) in [
            ("a // { b\nc", "a:1 c:2"),
            ("a /* { /* \n */ } */ b", "a:1 b:2"),
            (r#"a "{ \" \\" b"#, "a:1 b:1"),
            ("a \"\n\n\" b", "a:1 b:3"),
            ("a r\"{\\\" b", "a:1 b:1"),
            ("a r##\"{ \"# \n\"## b", "a:1 b:2"),
            ("a br#\"{\"# cr#\"{\"# b\"{\" c\"{\" b", "a:1 b:1"),
            (r"a '{' '\'' '\\' '\u{7b}' b'{' b'\'' 'ä' b", "a:1 b:1"),
            ("&'a str 'b: loop", "&:1 str:1 ::1 loop:1"),
            ("<'a,'b>", "<:1 ,:1 >:1"),
            ("r#fn x", "fn:1 x:1"),
            ("1.0e5 0x7b_u8 1..2", ".:1 .:1 .:1"),
            ("a->b=>c!=d::e", "a:1 ->:1 b:1 =>:1 c:1 !=:1 d:1 :::1 e:1"),
            ("naïve(ä)", "naïve:1 (:1 ä:1 ):1"),
            ("#!/usr/bin/env x {\na", "a:2"),
            ("#![a]", "#:1 !:1 [:1 a:1 ]:1"),
            ("\u{feff}a", "a:1"),
            ("a\r\nb", "a:1 b:2"),
            ("", ""),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn a_raw_name_is_no_keyword() {
        let token = Tokens::new("r#fn").next().expect("there is one");
        assert_eq!((token.kind, token.text, token.is_word("fn")), (Kind::RawName, "fn", false));
    }

    #[test]
    fn what_is_not_closed_is_said() {
        for text in ["\"", "/*", "/* /* */", "r#\"\"", "b'", "'\\", "r\"", "\"\\"] {
            let mut tokens = Tokens::new(text);
            while tokens.next().is_some() {}
            assert!(tokens.broken(), "{text}");
        }
        for text in ["'", "r#", "b", "-", "/", "é'"] {
            let mut tokens = Tokens::new(text);
            while tokens.next().is_some() {}
            assert!(!tokens.broken(), "{text}");
        }
    }
}
