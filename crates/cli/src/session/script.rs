//! The first line of a script: which program reads it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// How much of a script the kernel looks at for its first line, in bytes.
const LINE_MAX: usize = 256;

/// What a file that is no ELF is to the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// A script with `#!`.
    Script(Interpreter),
    /// Text without: `execvp` and the shells run it with /bin/sh.
    Plain,
    /// Nothing that anybody runs.
    Neither,
}

/// What stands behind `#!`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub(crate) path: PathBuf,
    /// All that follows, as one argument; the kernel does not split it.
    pub(crate) argument: Option<OsString>,
}

/// Reads the first line.
pub(crate) fn read(file: &File) -> io::Result<Text> {
    let mut head = [0; LINE_MAX];
    let length = file.read_at(&mut head, 0)?;
    Ok(parse(&head[..length]))
}

fn parse(head: &[u8]) -> Text {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let Some(line) = line.strip_prefix(b"#!") else {
        // A shell looks for a zero byte in the first line to tell text from the rest.
        return if line.contains(&0) { Text::Neither } else { Text::Plain };
    };
    let line = line.trim_ascii();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | 0)).unwrap_or(line.len());
    if end == 0 {
        return Text::Neither;
    }
    let rest = line[end..].trim_ascii();
    Text::Script(Interpreter {
        path: PathBuf::from(OsStr::from_bytes(&line[..end])),
        argument: (!rest.is_empty()).then(|| OsString::from_vec(rest.to_vec())),
    })
}

impl Interpreter {
    /// The program that `env` looks for in PATH, if the interpreter is `env`: the first word that is neither an
    /// option nor a variable. Without `-S` the whole argument is one word, as `env` sees it.
    pub(crate) fn of_env(&self) -> Option<&OsStr> {
        if self.path.file_name()? != "env" {
            return None;
        }
        let argument = self.argument.as_ref()?.as_bytes();
        let words = match argument.strip_prefix(b"-S").or_else(|| argument.strip_prefix(b"--split-string=")) {
            Some(words) => words,
            None if argument.contains(&b' ') => return None,
            None => argument,
        };
        let words = words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.into_iter().find(|word| !word.starts_with(b"-") && !word.contains(&b'=')).map(OsStr::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(line: &str) -> Interpreter {
        match parse(line.as_bytes()) {
            Text::Script(interpreter) => interpreter,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn the_interpreter_and_its_one_argument() {
        let interpreter = script("#! /usr/bin/perl  -w -T \necho");
        assert_eq!(interpreter.path, PathBuf::from("/usr/bin/perl"));
        assert_eq!(interpreter.argument.as_deref(), Some(OsStr::new("-w -T")));
        assert_eq!(script("#!/bin/sh").argument, None);
    }

    #[test]
    fn what_env_looks_for() {
        for (line, found) in [
            ("#!/usr/bin/env python3", Some("python3")),
            ("#!/usr/bin/env -S python3 -u", Some("python3")),
            ("#!/usr/bin/env -S -i A=1 perl -w", Some("perl")),
            ("#!/usr/bin/env python3 -u", None),
            ("#!/usr/bin/env", None),
            ("#!/usr/bin/perl env", None),
        ] {
            assert_eq!(script(line).of_env(), found.map(OsStr::new), "{line}");
        }
    }

    #[test]
    fn text_is_told_from_the_rest() {
        assert_eq!(parse(b"echo hello\n"), Text::Plain);
        assert_eq!(parse(b""), Text::Plain);
        assert_eq!(parse(b"\x00\x01"), Text::Neither);
        assert_eq!(parse(b"#!\n"), Text::Neither);
    }
}
