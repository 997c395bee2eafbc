//! The command line.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::str::FromStr;

use crate::trouble::Trouble;

/// The length of an observation unless said otherwise, in seconds.
const LENGTH_S: u64 = 60;
/// The same for the verb `real`: real programs take longer to become steady.
const LENGTH_REAL_S: u64 = 300;
/// Programs have periods of a few percent of it, which are nothing below this, in seconds.
const LENGTH_S_MIN: u64 = 10;
/// Observed at the same time unless said otherwise. More would wait for one another on two cores.
const JOBS: usize = 2;

/// What can be said behind the verb.
pub(crate) const USAGE: &str = "
  --length-s N     seconds for which each program is observed, and for which it is made: 60; for real ones 300
  --seed N         the seed that all others are drawn from; printed if it is not given
  --draws N        runs of each program, each with parameters of its own: 1
  --jobs N         programs at the same time: 2
  --only NAME      programs with NAME in their name only; may be repeated, or name several as in A,B
  --plimsoll PATH  the program that is asked, instead of the one that is found in PATH
  --series DIR     keeps what was recorded, as DIR/NAME.SEED.series; of real programs as DIR/NAME.series
  --json FILE      writes every answer and all figures there";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) verb: String,
    pub(crate) length_s: u64,
    pub(crate) seed: u64,
    pub(crate) draws: u64,
    pub(crate) jobs: usize,
    /// Parts of names; none stands for all programs.
    pub(crate) only: Vec<String>,
    pub(crate) plimsoll: PathBuf,
    pub(crate) series: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// Reads the command line without the program's name.
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Options, Trouble> {
        let verb = args.next().ok_or_else(|| Trouble::Usage("no verb was given".to_owned()))?;
        let length_s = if verb == "real" { LENGTH_REAL_S } else { LENGTH_S };
        let mut options = Options {
            verb,
            length_s,
            seed: random_seed(),
            draws: 1,
            jobs: JOBS,
            only: Vec::new(),
            plimsoll: PathBuf::from("plimsoll"),
            series: None,
            json: None,
        };
        while let Some(arg) = args.next() {
            match &*arg {
                "--length-s" => options.length_s = value(&arg, args.next())?,
                "--seed" => options.seed = value(&arg, args.next())?,
                "--draws" => options.draws = value(&arg, args.next())?,
                "--jobs" => options.jobs = value(&arg, args.next())?,
                "--plimsoll" => options.plimsoll = value(&arg, args.next())?,
                "--series" => options.series = Some(value(&arg, args.next())?),
                "--json" => options.json = Some(value(&arg, args.next())?),
                "--only" => {
                    let names: String = value(&arg, args.next())?;
                    options.only.extend(names.split(',').map(str::to_owned));
                }
                _ => return Err(Trouble::Usage(format!("there is no option `{arg}`"))),
            }
        }
        if options.length_s < LENGTH_S_MIN {
            return Err(Trouble::Usage(format!("`--length-s` must be at least {LENGTH_S_MIN}")));
        }
        if options.draws == 0 || options.jobs == 0 {
            return Err(Trouble::Usage("`--draws 0` and `--jobs 0` do nothing".to_owned()));
        }
        Ok(options)
    }
}

fn value<T: FromStr>(option: &str, value: Option<String>) -> Result<T, Trouble> {
    let value = value.ok_or_else(|| Trouble::Usage(format!("`{option}` lacks its value")))?;
    value.parse().map_err(|_| Trouble::Usage(format!("`{option} {value}` is not understood")))
}

/// Short enough to be typed again.
fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Trouble> {
        Options::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_what_is_said() {
        let options =
            read("live --length-s 30 --seed 9 --only vec,leak_c --jobs 3 --draws 2").expect("all is known");
        assert_eq!((options.length_s, options.seed, options.jobs, options.draws), (30, 9, 3, 2));
        assert_eq!(options.only, ["vec", "leak_c"]);
        assert_eq!((options.series, options.plimsoll), (None, PathBuf::from("plimsoll")));
    }

    #[test]
    fn says_what_is_not_understood() {
        let lines =
            ["", "live --fast", "live --seed", "live --seed few", "live --jobs 0", "live --length-s 5"];
        for line in lines {
            assert!(matches!(read(line), Err(Trouble::Usage(_))), "{line}");
        }
    }
}
