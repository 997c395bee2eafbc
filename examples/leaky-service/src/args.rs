//! The command line: two options, and a wrong one is told what there is.

use std::error::Error;
use std::net::SocketAddr;

use plimsoll::{Bytes, Interval};

const USAGE: &str = "usage: leaky-service [--addr 127.0.0.1:8080] [--sampling adaptive|every|64KiB]";

/// What the service is started with.
pub(crate) struct Args {
    /// Where it listens; port 0 takes a free one.
    pub(crate) addr: SocketAddr,
    /// How densely the heap is sampled.
    pub(crate) sampling: Interval,
}

impl Args {
    /// Reads the arguments that stand behind the program's name.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut args = Self { addr: SocketAddr::from(([127, 0, 0, 1], 8080)), sampling: Interval::Adaptive };
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(|| format!("no value behind `{option}`; {USAGE}"))?;
            let wrong = |error: String| format!("`{option} {value}`: {error}; {USAGE}");
            match option.as_str() {
                "--addr" => args.addr = value.parse().map_err(|_| wrong("not an address".to_owned()))?,
                "--sampling" => {
                    args.sampling = match value.as_str() {
                        "adaptive" => Interval::Adaptive,
                        "every" => Interval::Every,
                        size => {
                            Interval::Mean(size.parse::<Bytes>().map_err(|error| wrong(error.to_string()))?)
                        }
                    }
                }
                _ => return Err(format!("unknown option `{option}`; {USAGE}").into()),
            }
        }
        Ok(args)
    }
}
