//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use crate::trouble::Trouble;

/// Rounds unless said otherwise. The issue asks for at least 7; of 15 the median is known to lie between the
/// fourth and the twelfth, so that three bad rounds on either side do no harm.
const ROUNDS: usize = 15;
/// Rounds with `--quick`, which is for trying out and proves nothing.
const ROUNDS_QUICK: usize = 3;

/// What can be said behind the subject.
pub(crate) const USAGE: &str = "
  --quick          3 rounds and half of the work: to try it out, proves nothing
  --rounds N       N rounds instead of 15
  --only PART      this part only; may be repeated, or name several as in A,B
  --without NAME   leaves out setups with NAME in their worker's or their own name; may be repeated
  --plimsoll PATH  the program that `preload` measures, beside its library, instead of the one built here
  --json FILE      writes all figures there, with those of the single rounds";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) subject: String,
    /// Less work and fewer rounds.
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) json: Option<PathBuf>,
    /// The program under test, if it is not the one that was built in this repository.
    pub(crate) plimsoll: Option<PathBuf>,
    only: Vec<String>,
    without: Vec<String>,
}

impl Options {
    /// Reads the command line without the program's name.
    pub(crate) fn read(args: impl Iterator<Item = String>) -> Result<Options, Trouble> {
        let mut args = args;
        let subject = args.next().ok_or_else(|| Trouble::Usage("no subject was given".to_owned()))?;
        let (mut quick, mut rounds, mut json, mut plimsoll) = (false, None, None, None);
        let (mut only, mut without): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        while let Some(arg) = args.next() {
            match &*arg {
                "--quick" => quick = true,
                "--rounds" => rounds = Some(value(&arg, args.next())?),
                "--json" => json = Some(value(&arg, args.next())?),
                "--plimsoll" => plimsoll = Some(value(&arg, args.next())?),
                "--only" => {
                    let parts: String = value(&arg, args.next())?;
                    only.extend(parts.split(',').map(str::to_owned));
                }
                "--without" => without.push(value(&arg, args.next())?),
                _ => return Err(Trouble::Usage(format!("there is no option `{arg}`"))),
            }
        }
        let rounds = rounds.unwrap_or(if quick { ROUNDS_QUICK } else { ROUNDS });
        if rounds == 0 {
            return Err(Trouble::Usage("`--rounds 0` measures nothing".to_owned()));
        }
        Ok(Options { subject, quick, rounds, json, plimsoll, only, without })
    }

    /// Complains about a part that the subject does not have.
    pub(crate) fn check_parts(&self, parts: &[&str]) -> Result<(), Trouble> {
        match self.only.iter().find(|only| !parts.contains(&only.as_str())) {
            None => Ok(()),
            Some(only) => {
                Err(Trouble::Usage(format!("`{}` has no part `{only}`: {}", self.subject, parts.join(", "))))
            }
        }
    }

    /// Whether this part is to be measured.
    pub(crate) fn wants_part(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    /// Whether none of the names of a setup was left out.
    pub(crate) fn wants_setup(&self, names: &[&str]) -> bool {
        !self.without.iter().any(|without| names.iter().any(|name| name.contains(without.as_str())))
    }
}

fn value<T: FromStr>(option: &str, value: Option<String>) -> Result<T, Trouble> {
    let value = value.ok_or_else(|| Trouble::Usage(format!("`{option}` lacks its value")))?;
    value.parse().map_err(|_| Trouble::Usage(format!("`{option} {value}` is not understood")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Trouble> {
        Options::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_what_is_said() {
        let options = read("heap --quick --json out.json --only live --without dhat").expect("all is known");
        assert_eq!((options.rounds, options.quick), (ROUNDS_QUICK, true));
        assert!(options.wants_part("live") && !options.wants_part("cost"));
        assert!(options.wants_setup(&["work_system"]) && !options.wants_setup(&["work_dhat", "dhat"]));
        assert!(options.check_parts(&["cost", "live"]).is_ok() && options.check_parts(&["cost"]).is_err());
    }

    #[test]
    fn several_parts_may_be_named_at_once() {
        let options = read("preload --only redis,capture --plimsoll /tmp/plimsoll").expect("all is known");
        assert!(["redis", "capture"].iter().all(|part| options.wants_part(part)));
        assert!(!options.wants_part("node"));
        assert_eq!(options.plimsoll, Some(PathBuf::from("/tmp/plimsoll")));
    }

    #[test]
    fn says_what_is_not_understood() {
        for line in ["", "heap --fast", "heap --rounds", "heap --rounds few", "heap --rounds 0"] {
            assert!(matches!(read(line), Err(Trouble::Usage(_))), "{line}");
        }
    }
}
