//! What every program of the corpus begins with: its arguments, its parameters, and its pace.
//!
//! A program draws all that it does from the seed, says so in one line, and then works for ever at a bounded pace.
//! Nothing here holds memory that grows, so that whatever grows is the program's.

#![allow(clippy::print_stdout, clippy::print_stderr)] // The line at the start is for whoever runs it.

pub mod beside;
mod pace;

use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Map, Value, json};

pub use pace::Pace;

/// The slowest leak of the corpus, in bytes per second.
const LEAK_BYTES_PER_S_MIN: f64 = 300.0;
/// The fastest leak of the corpus, in bytes per second.
const LEAK_BYTES_PER_S_MAX: f64 = 1e6;
/// The smallest object that a leak is made of, where the program may choose.
const OBJECT_BYTES_MIN: f64 = 24.0;
/// The largest object that a leak is made of, where the program may choose.
const OBJECT_BYTES_MAX: f64 = 8192.0;
/// A slow leak consists of at least as many objects a second: with fewer there would be nothing to judge.
const OBJECTS_PER_S_MIN: f64 = 2.0;
/// The length of an observation unless said otherwise, in seconds.
const LENGTH_S: f64 = 60.0;
/// Asked in a way that is not understood.
const EXIT_USAGE: i32 = 64;

/// A program that is about to start: draws parameters, and remembers them for the line at the start.
#[derive(Debug)]
pub struct Setup {
    /// What the program draws its traffic from, after its parameters.
    pub random: Rng,
    seed: u64,
    length: Duration,
    leaks: bool,
    parameters: Map<String, Value>,
    begun: Instant,
}

impl Setup {
    /// A program that leaks.
    pub fn leaking() -> Setup {
        Setup::read(true)
    }

    /// A program that does not.
    pub fn healthy() -> Setup {
        Setup::read(false)
    }

    fn read(leaks: bool) -> Setup {
        let (mut seed, mut length_s) = (1, LENGTH_S);
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let value = args.next().unwrap_or_default();
            let understood = match &*arg {
                "--seed" => value.parse().map(|value| seed = value).is_ok(),
                "--length-s" => value.parse().map(|value| length_s = value).is_ok() && length_s >= 1.0,
                _ => false,
            };
            if !understood {
                eprintln!(
                    "`{arg} {value}` is not understood: --length-s SECONDS (at least 1), --seed NUMBER"
                );
                std::process::exit(EXIT_USAGE);
            }
        }
        Setup {
            random: Rng::with_seed(seed),
            seed,
            length: Duration::from_secs_f64(length_s),
            leaks,
            parameters: Map::new(),
            begun: Instant::now(),
        }
    }

    /// A parameter between two bounds, each size of it as likely as the next.
    pub fn uniform(&mut self, name: &str, low: f64, high: f64) -> f64 {
        let value = low + self.random.f64() * (high - low);
        self.keep(name, value)
    }

    /// A parameter between two bounds, each order of magnitude as likely as the next.
    pub fn log_uniform(&mut self, name: &str, low: f64, high: f64) -> f64 {
        let value = low * (high / low).powf(self.random.f64());
        self.keep(name, value)
    }

    /// A whole number between two bounds, each order of magnitude as likely as the next.
    pub fn whole(&mut self, name: &str, low: usize, high: usize) -> usize {
        let value = (low as f64 * (high as f64 / low as f64).powf(self.random.f64())).round() as usize;
        self.parameters.insert(name.to_owned(), json!(value));
        value
    }

    /// A time that is a part of the observation.
    pub fn part_of_length(&mut self, name: &str, low: f64, high: f64) -> Duration {
        let length_s = self.length_s();
        Duration::from_secs_f64(self.uniform(name, low * length_s, high * length_s))
    }

    /// How many bytes leak each second.
    pub fn leak_bytes_per_s(&mut self) -> f64 {
        self.log_uniform("leak_bytes_per_s", LEAK_BYTES_PER_S_MIN, LEAK_BYTES_PER_S_MAX)
    }

    /// How large one object of a leak of that many bytes per second is.
    pub fn object_bytes(&mut self, bytes_per_s: f64) -> usize {
        let largest = (bytes_per_s / OBJECTS_PER_S_MIN).clamp(OBJECT_BYTES_MIN * 2.0, OBJECT_BYTES_MAX);
        self.log_uniform("object_bytes", OBJECT_BYTES_MIN, largest) as usize
    }

    /// Says the parameters. The last thing before the work; from here on time runs.
    pub fn announce(&mut self) {
        let program = std::env::args().next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        let line = json!({
            "program": name, "leaks": self.leaks, "seed": self.seed,
            "length_s": self.length_s(), "parameters": self.parameters,
        });
        println!("{line}");
        self.begun = Instant::now();
    }

    /// The length of the observation that the program was made for.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// The same in seconds.
    pub fn length_s(&self) -> f64 {
        self.length.as_secs_f64()
    }

    /// How much of the observation is over: 1 at its end, and more after that.
    pub fn progress(&self) -> f64 {
        self.begun.elapsed().as_secs_f64() / self.length_s()
    }

    fn keep(&mut self, name: &str, value: f64) -> f64 {
        // Three digits are for reading; the program goes by the exact value.
        self.parameters.insert(name.to_owned(), json!((value * 1000.0).round() / 1000.0));
        value
    }
}

/// Bytes that are touched and not all the same, as what comes over a network.
pub fn payload(random: &mut Rng, bytes: usize) -> Vec<u8> {
    let mut payload = vec![0; bytes];
    fill(random, &mut payload);
    payload
}

/// Writes to every part of a buffer; cheap enough for a hundred megabytes a second.
pub fn fill(random: &mut Rng, buffer: &mut [u8]) {
    let word = random.u64(..).to_le_bytes();
    for chunk in buffer.chunks_mut(64) {
        let length = chunk.len().min(word.len());
        chunk[..length].copy_from_slice(&word[..length]);
    }
}
