//! A program under a sampler, as a list of what happened to its sampled objects.
//!
//! Only sampled objects are drawn: of those that are not sampled nobody ever hears, and a service that allocates 50 MB a
//! second for six hours then costs some thousand numbers. What dies young in any case (churn) is not even drawn one by
//! one; it moves the work clock and the youngest generation, and nothing else.
//!
//! Time runs from 0 to 1 here. How many seconds that is, how long an epoch is and how far apart samples are is the
//! matter of a [`Scale`], so that each scenario is written once.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use plimsoll_core::heap::{Amount, GENERATIONS, Generation, Growth};
use plimsoll_verdict::judge::{Reading, SeriesLimits, StackCounts};

/// How long, how often and how finely a program is observed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) name: &'static str,
    /// A seed draws one of these.
    pub(crate) seconds: &'static [f64],
    pub(crate) epoch_s: f64,
    pub(crate) every_s: f64,
    /// And one of these: the mean number of bytes between two samples.
    pub(crate) intervals: &'static [f64],
    pub(crate) limits: SeriesLimits,
}

/// One minute of a test that somebody waits for.
pub(crate) const WATCH: Scale = Scale {
    name: "60 s",
    seconds: &[60.0],
    epoch_s: 0.25,
    every_s: 0.5,
    intervals: &[256.0, 512.0, 1024.0, 2048.0],
    limits: SeriesLimits::WATCH,
};
/// A test that is over soon: as long as there are epochs enough.
pub(crate) const SHORT: Scale = Scale { name: "10 s", seconds: &[10.0], ..WATCH };
/// Hours of a service that judges itself.
pub(crate) const SERVICE: Scale = Scale {
    name: "hours",
    seconds: &[7200.0, 14400.0, 21600.0],
    epoch_s: 10.0,
    every_s: 60.0,
    intervals: &[131_072.0, 524_288.0],
    limits: SeriesLimits::SERVICE,
};

/// Lives for ever.
pub(crate) const NEVER: f64 = f64::INFINITY;

/// A place that allocates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) stack: u32,
    /// Bytes of each of its objects.
    size: f64,
}

/// Something that changes the counters of a stack.
#[derive(Clone, Copy, Debug)]
struct Event {
    at_s: f64,
    stack: u32,
    born_s: f64,
    samples: i8,
    objects: f64,
    bytes: f64,
    /// How often this sample was made larger by now; zero if this is no such event.
    grown: u32,
}

/// What is born and dies within the youngest generation.
#[derive(Clone, Copy, Debug)]
struct Churn {
    stack: u32,
    /// Over the whole time.
    bytes: f64,
    size: f64,
}

/// See the head of this file.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) scale: Scale,
    pub(crate) seconds: f64,
    pub(crate) interval: f64,
    /// How busy the process is at each moment, 1 being usual: what churns, churns with it.
    load: Vec<f64>,
    events: Vec<Event>,
    churns: Vec<Churn>,
    stacks: u32,
    /// The site that leaks.
    culprit: Option<u32>,
}

/// Points at which a shape in time is looked at.
const POINTS: usize = 400;

impl World {
    pub(crate) fn new(scale: Scale, seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let seconds = *rng.choice(scale.seconds).expect("a scale has a time");
        let interval = *rng.choice(scale.intervals).expect("a scale has an interval");
        World {
            rng,
            scale,
            seconds,
            interval,
            load: vec![1.0; POINTS],
            events: Vec::new(),
            churns: Vec::new(),
            stacks: 0,
            culprit: None,
        }
    }

    /// Between two numbers, each part of the way equally likely.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.rng.f64()
    }

    /// Between two numbers, each factor equally likely.
    pub(crate) fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.rng.f64()).ln()
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * self.rng.f64()).cos()
    }

    /// How many, where `mean` are expected.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 500.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (mut count, mut left) = (0, self.exponential(1.0));
        while left < mean {
            count += 1;
            left += self.exponential(1.0);
        }
        count
    }

    /// A new site, with objects of some size.
    pub(crate) fn site(&mut self) -> Site {
        let size = self.magnitude(24.0, 8192.0).round();
        self.site_of(size)
    }

    pub(crate) fn site_of(&mut self, size: f64) -> Site {
        self.stacks += 1;
        Site { stack: self.stacks, size }
    }

    pub(crate) fn blame(&mut self, site: Site) {
        self.culprit = Some(site.stack);
    }

    pub(crate) fn culprit(&self) -> Option<u32> {
        self.culprit
    }

    /// The process is so busy at each moment.
    pub(crate) fn load(&mut self, shape: impl Fn(f64) -> f64) {
        for (nth, load) in self.load.iter_mut().enumerate() {
            *load = shape((nth as f64 + 0.5) / POINTS as f64);
        }
    }

    pub(crate) fn load_at(&self, x: f64) -> f64 {
        self.load[((x * POINTS as f64) as usize).min(POINTS - 1)]
    }

    /// When sampled objects are born, of which `count` are expected over the whole time. Sorted.
    pub(crate) fn arrivals(&mut self, count: f64, shape: impl Fn(f64) -> f64) -> Vec<f64> {
        let values: Vec<f64> =
            (0..POINTS).map(|nth| shape((nth as f64 + 0.5) / POINTS as f64).max(0.0)).collect();
        let sum: f64 = values.iter().sum();
        let mut times = Vec::new();
        for (nth, value) in values.iter().enumerate() {
            for _ in 0..self.poisson(count * value / sum.max(1e-12)) {
                times.push((nth as f64 + self.rng.f64()) / POINTS as f64);
            }
        }
        times.sort_by(f64::total_cmp);
        times
    }

    /// So many bytes of a site are so many samples.
    pub(crate) fn samples_of(&self, site: Site, bytes: f64) -> f64 {
        bytes / site.size * chance(site.size, self.interval)
    }

    /// A sampled object, from `born` to `died`.
    pub(crate) fn sampled(&mut self, site: Site, born: f64, died: f64) {
        let weight = 1.0 / chance(site.size, self.interval);
        self.block(site.stack, born, died, site.size, weight);
    }

    fn block(&mut self, stack: u32, born: f64, died: f64, size: f64, weight: f64) {
        let born_s = born * self.seconds;
        let event = Event {
            at_s: born_s,
            stack,
            born_s,
            samples: 1,
            objects: weight,
            bytes: (weight * size).round(),
            grown: 0,
        };
        self.events.push(event);
        if died < 1.0 {
            let at_s = died.max(born) * self.seconds;
            let (objects, bytes) = (-event.objects, -event.bytes);
            self.events.push(Event { at_s, samples: -1, objects, bytes, ..event });
        }
    }

    /// A block of a size that may be sampled or not, from `born` to `died`.
    pub(crate) fn table(&mut self, site: Site, born: f64, died: f64, size: f64) {
        let chance = chance(size, self.interval);
        if self.rng.f64() < chance {
            self.block(site.stack, born, died, size, 1.0 / chance);
        }
    }

    /// One block that `realloc` makes larger: when, and how large then. What it gains may make it a sample; from then on
    /// what it gains counts as it is.
    pub(crate) fn grown(&mut self, site: Site, steps: &[(f64, f64)]) {
        let mut sample: Option<(f64, f64)> = None;
        let (mut before, mut chain) = (0.0, 0);
        for &(x, size) in steps {
            let (at_s, added) = (x * self.seconds, size - before);
            before = size;
            match sample {
                None => {
                    let chance = chance(added, self.interval);
                    if self.rng.f64() < chance {
                        let weight = added / size / chance;
                        self.block(site.stack, x, NEVER, size, weight);
                        sample = Some((at_s, weight * size));
                    }
                }
                Some((born_s, bytes)) => {
                    let objects = (bytes + added) / size - bytes / (size - added);
                    let stack = site.stack;
                    chain += 1;
                    self.events.push(Event {
                        at_s,
                        stack,
                        born_s,
                        samples: 0,
                        objects,
                        bytes: added,
                        grown: chain,
                    });
                    sample = Some((born_s, bytes + added));
                }
            }
        }
    }

    /// Bytes of a site that die young, over the whole time.
    pub(crate) fn churn(&mut self, site: Site, bytes: f64) {
        self.churns.push(Churn { stack: site.stack, bytes, size: site.size });
    }

    /// What every program has: tables from its start, requests that churn, and sessions that last a while.
    pub(crate) fn background(&mut self) {
        let tables = self.site();
        for _ in 0..30 {
            let born = self.between(0.0, 0.02);
            self.sampled(tables, born, NEVER);
        }
        let requests = self.site();
        let bytes = self.interval * self.magnitude(1e4, 1e6);
        self.churn(requests, bytes);
        for _ in 0..self.rng.usize(2..10) {
            let (site, mean) = (self.site(), self.magnitude(0.001, 0.03));
            let count = self.magnitude(30.0, 1500.0);
            let load = self.load.clone();
            for born in self.arrivals(count, |x| load[((x * POINTS as f64) as usize).min(POINTS - 1)]) {
                let died = born + self.exponential(mean);
                self.sampled(site, born, died);
            }
        }
    }

    /// What the profiler counts, at each moment at which somebody reads it.
    pub(crate) fn readings(mut self) -> Vec<Reading> {
        self.events.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let count = (self.seconds / self.scale.every_s).round() as usize;
        let mut stacks: BTreeMap<u32, Counted> =
            (1..=self.stacks).map(|id| (id, Counted::default())).collect();
        let mut events = std::mem::take(&mut self.events).into_iter().peekable();
        let mut readings = Vec::with_capacity(count);
        let (epoch_s, churns) = (self.scale.epoch_s, std::mem::take(&mut self.churns));
        let usual: f64 = self.load.iter().sum();
        // Who reads does so by a clock of his own, and is late at times.
        let phase_s = self.scale.every_s * self.rng.f64();
        for nth in 1..=count {
            let late_s = self.scale.every_s * 0.1 * self.rng.f64();
            let at_s = self.scale.every_s * (nth as f64 - 1.0) + phase_s * 0.9 + late_s;
            while let Some(event) = events.next_if(|event| event.at_s <= at_s) {
                stacks.entry(event.stack).or_default().count(&event, epoch_s);
            }
            for churn in &churns {
                let x = (nth as f64 - 0.5) / count as f64;
                let share = self.load_at(x) / usual * POINTS as f64 / count as f64;
                let mean = churn.bytes / self.interval * share;
                let samples = self.poisson(mean);
                let living = self.poisson(mean * (0.3 * epoch_s / self.scale.every_s).min(1.0));
                let weight = 1.0 / chance(churn.size, self.interval);
                stacks.entry(churn.stack).or_default().churn(samples, living, weight, churn.size);
            }
            let now = (at_s / epoch_s) as u32;
            readings.push(Reading {
                at: Duration::from_secs_f64(at_s),
                unix_ms: 1_800_000_000_000 + (at_s * 1000.0) as u64,
                epoch: Duration::from_secs_f64(epoch_s),
                interval_bytes: self.interval as u64,
                dropped: 0,
                stacks: stacks.iter().map(|(&id, counted)| (id, counted.counts(now))).collect(),
                memory: None,
            });
        }
        readings
    }
}

/// The chance of a block of so many bytes to be sampled.
fn chance(size: f64, interval: f64) -> f64 {
    -(-size / interval).exp_m1()
}

/// The counters of one stack.
#[derive(Clone, Debug, Default)]
struct Counted {
    allocated: (f64, f64),
    live: (f64, f64),
    /// By the epoch of birth: samples and bytes.
    by_birth: BTreeMap<u32, (i64, f64)>,
    died: [u64; GENERATIONS],
    churning: (u64, f64, f64),
    growth: Growth,
}

impl Counted {
    fn count(&mut self, event: &Event, epoch_s: f64) {
        let (born, now) = ((event.born_s / epoch_s) as u32, (event.at_s / epoch_s) as u32);
        if event.samples >= 0 {
            self.allocated.0 += event.objects;
            self.allocated.1 += event.bytes;
        }
        self.live.0 += event.objects;
        self.live.1 += event.bytes;
        let block = self.by_birth.entry(born).or_default();
        block.0 += i64::from(event.samples);
        block.1 += event.bytes;
        if block.0 == 0 && event.samples < 0 {
            self.by_birth.remove(&born);
        }
        if event.samples < 0 {
            self.died[level(born, now)] += 1;
        }
        if event.grown > 0 {
            self.growth.grown += 1;
            self.growth.grown_bytes += event.bytes as u64;
            self.growth.longest_chain = self.growth.longest_chain.max(event.grown);
        }
    }

    fn churn(&mut self, samples: u64, living: u64, weight: f64, size: f64) {
        self.allocated.0 += samples as f64 * weight;
        self.allocated.1 += samples as f64 * weight * size;
        let living = living.min(samples);
        let before = self.churning.0;
        self.died[0] += (before + samples).saturating_sub(living);
        self.churning = (living, living as f64 * weight, living as f64 * weight * size);
    }

    fn counts(&self, now: u32) -> StackCounts {
        let mut generations = [Generation::default(); GENERATIONS];
        let mut bytes = [0.0; GENERATIONS];
        for (&born, &(samples, of_them)) in &self.by_birth {
            let level = level(born, now);
            generations[level].live_samples += samples.max(0).cast_unsigned();
            bytes[level] += of_them;
        }
        generations[0].live_samples += self.churning.0;
        bytes[0] += self.churning.2;
        for (level, generation) in generations.iter_mut().enumerate() {
            generation.live_bytes = bytes[level].round().max(0.0) as u64;
            generation.died_samples = self.died[level];
        }
        let amount = |(objects, bytes): (f64, f64)| Amount {
            objects: objects.round() as u64,
            bytes: bytes.round() as u64,
        };
        StackCounts {
            allocated: amount(self.allocated),
            live: amount((self.live.0 + self.churning.1, self.live.1 + self.churning.2)),
            generations,
            growth: self.growth,
        }
    }
}

/// The generation of a sample born in one epoch and looked at in another: the definition that the profiler's table of
/// cohorts is tested against.
fn level(born: u32, now: u32) -> usize {
    let ancient = GENERATIONS - 1;
    (0..ancient).find(|&level| (now >> (level + 1)) - (born >> (level + 1)) <= 2).unwrap_or(ancient)
}
