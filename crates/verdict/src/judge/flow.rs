//! What came to a group of stacks, grew old in it and left it, reading by reading.
//!
//! The generations of a snapshot are such that between two readings, exactly: what became older than a line is the growth
//! of the live counts above it plus the deaths there. A *line* is the beginning of a generation. Objects cross it between
//! two and three times its length after their birth, in blocks of that length.

use plimsoll_core::heap::GENERATIONS;

use super::series::{Series, StackCounts};

/// Readings that are so many times as far apart as usual, and so many seconds, were not taken by plan. A watch and what it
/// watches wait for the same processors.
const STALL_TIMES: f64 = 5.0;
const STALL_MIN_S: f64 = 1.0;

/// One group at one reading. Of each line: what is beyond it.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    live: [u64; GENERATIONS],
    died: [u64; GENERATIONS],
    bytes: [u64; GENERATIONS],
    allocated_objects: u64,
    allocated_bytes: u64,
    live_objects: u64,
    live_bytes: u64,
    /// How often `realloc` made something larger, and the most often that any one thing was.
    grown: u64,
    longest_chain: u32,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    points: Vec<Point>,
    /// When each reading was, in seconds since the process began to be sampled.
    at_s: Vec<f64>,
    /// Bytes allocated by the whole process since its start: the work clock.
    work: Vec<u64>,
    /// How much coarser sampling was at each reading than at its finest.
    coarseness: Vec<f64>,
    epoch_s: f64,
}

/// Part of a flow: the readings up to one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past<'a> {
    flow: &'a Flow,
    /// The number of the last reading.
    pub(crate) last: usize,
}

impl Flow {
    /// The flow of `stacks` together.
    pub(crate) fn of(series: &Series, stacks: &[u32]) -> Flow {
        let readings = series.readings();
        let mut points = vec![Point::default(); readings.len()];
        for stack in stacks {
            let Some(entries) = series.stacks().get(stack) else { continue };
            let mut entries = entries.iter().peekable();
            let mut now: Option<&StackCounts> = None;
            for (reading, point) in readings.iter().zip(&mut points) {
                while let Some((_, counts)) = entries.next_if(|(number, _)| *number <= reading.number) {
                    now = Some(counts);
                }
                if let Some(counts) = now {
                    point.add(counts);
                }
            }
        }
        let finest = readings.iter().map(|reading| reading.interval_bytes.max(1)).min().unwrap_or(1);
        Flow {
            points,
            at_s: readings.iter().map(|reading| reading.at_s).collect(),
            work: readings.iter().map(|reading| reading.work_bytes).collect(),
            coarseness: readings
                .iter()
                .map(|reading| reading.interval_bytes.max(1) as f64 / finest as f64)
                .collect(),
            epoch_s: readings.last().map_or(1.0, |reading| reading.epoch_s).max(1e-3),
        }
    }

    /// All of it.
    pub(crate) fn whole(&self) -> Past<'_> {
        Past { flow: self, last: self.points.len().saturating_sub(1) }
    }

    /// What lived over time, in seconds and bytes.
    pub(crate) fn history(&self) -> Vec<(f64, u64)> {
        self.at_s.iter().zip(&self.points).map(|(&at, point)| (at, point.live_bytes)).collect()
    }
}

impl Point {
    fn add(&mut self, counts: &StackCounts) {
        let (mut live, mut died, mut bytes) = (0_u64, 0_u64, 0_u64);
        for line in (0..GENERATIONS).rev() {
            let generation = &counts.generations[line];
            // A series may come from a stranger's file.
            live = generation.live_samples.saturating_add(live);
            died = generation.died_samples.saturating_add(died);
            bytes = generation.live_bytes.saturating_add(bytes);
            self.live[line] = self.live[line].saturating_add(live);
            self.died[line] = self.died[line].saturating_add(died);
            self.bytes[line] = self.bytes[line].saturating_add(bytes);
        }
        self.allocated_objects = self.allocated_objects.saturating_add(counts.allocated.objects);
        self.allocated_bytes = self.allocated_bytes.saturating_add(counts.allocated.bytes);
        self.live_objects = self.live_objects.saturating_add(counts.live.objects);
        self.live_bytes = self.live_bytes.saturating_add(counts.live.bytes);
        self.longest_chain = self.longest_chain.max(counts.growth.longest_chain);
        self.grown = self.grown.saturating_add(counts.growth.grown);
    }
}

impl<'a> Past<'a> {
    /// The same up to the last reading that is not later than `at_s`.
    pub(crate) fn until(self, at_s: f64) -> Past<'a> {
        let last = self.flow.at_s.partition_point(|&at| at <= at_s).saturating_sub(1);
        Past { last: last.min(self.last), ..self }
    }

    /// When the machine last had no time for long enough to let everything grow old: the end of that, if it was over in the
    /// first half.
    pub(crate) fn stalled_until_s(&self) -> Option<f64> {
        let at_s = &self.flow.at_s[..=self.last];
        let mut pauses_s: Vec<f64> = at_s.windows(2).map(|it| it[1] - it[0]).collect();
        pauses_s.sort_by(f64::total_cmp);
        let usual_s = *pauses_s.get(pauses_s.len() / 2)?;
        let is_stall = |it: &[f64]| it[1] - it[0] > (STALL_TIMES * usual_s).max(STALL_MIN_S);
        let half_s = f64::midpoint(self.begin_s(), self.end_s());
        at_s.windows(2).rev().find(|it| is_stall(it) && it[1] <= half_s).map(|it| it[1])
    }

    /// The first reading that is not earlier than `at_s`; the last one if there is none.
    pub(crate) fn first_from(&self, at_s: f64) -> usize {
        self.flow.at_s.partition_point(|&at| at < at_s).min(self.last)
    }

    pub(crate) fn at_s(&self, reading: usize) -> f64 {
        self.flow.at_s.get(reading).copied().unwrap_or_default()
    }

    pub(crate) fn begin_s(&self) -> f64 {
        self.at_s(0)
    }

    pub(crate) fn end_s(&self) -> f64 {
        self.at_s(self.last)
    }

    /// The oldest that something is when it crosses a line, and the longest block in which it does, in seconds.
    pub(crate) fn line_s(&self, line: usize) -> Line {
        let block_s = self.flow.epoch_s * (1_u64 << line) as f64;
        Line { young_s: 2.0 * block_s, old_s: 3.0 * block_s, block_s }
    }

    /// What was born from `from_s` on and crossed a line, parted into up to `count` crossings that follow one another.
    ///
    /// What is born within a block crosses at one moment, at a whole multiple of the block: the moments are known exactly,
    /// and so are the births. To part the time evenly instead would put two moments into one part and none into the
    /// next, and a leak as even as a clock would seem to come in bursts.
    pub(crate) fn crossings(&self, line: usize, from_s: f64, count: usize) -> Vec<Crossing> {
        let Line { block_s, .. } = self.line_s(line);
        // The block that ends at moment `k - 2` crosses at moment `k`.
        let moment = |reading: usize| (self.at_s(reading) / block_s).floor();
        let (first, last) = ((from_s / block_s).ceil() + 3.0, moment(self.last));
        let moments = last - first + 1.0;
        if moments < 1.0 || count == 0 {
            return Vec::new();
        }
        let parts = count.min(moments as usize);
        let mut crossings = Vec::with_capacity(parts);
        // Read half way between two moments, where it does not matter whether somebody was a little late.
        let mut from = self.nearest((first - 0.5) * block_s);
        for part in 1..=parts {
            let until = first + (moments * part as f64 / parts as f64).round();
            let to = if part == parts { self.last } else { self.nearest((until - 0.5) * block_s) };
            let blocks = moment(to) - moment(from);
            if to > from && blocks >= 1.0 {
                // From the begin of the first block to the end of the last.
                let born_s = f64::midpoint(moment(from) - 2.0, moment(to) - 2.0) * block_s;
                crossings.push(Crossing { from, to, born_s, blocks });
                from = to;
            }
        }
        crossings
    }

    /// The reading that is nearest to `at_s`.
    fn nearest(&self, at_s: f64) -> usize {
        let after = self.first_from(at_s);
        if after > 0 && at_s - self.at_s(after - 1) < self.at_s(after) - at_s { after - 1 } else { after }
    }

    /// How many samples crossed a line between two readings.
    pub(crate) fn promoted(&self, line: usize, from: usize, to: usize) -> u64 {
        let change = self.live(line, to) as i64 - self.live(line, from) as i64;
        (change + self.died(line, from, to) as i64).max(0).cast_unsigned()
    }

    /// The same, each weighed by how coarse sampling was: as many objects, but for a factor.
    pub(crate) fn promoted_weight(&self, line: usize, from: usize, to: usize) -> f64 {
        let coarseness = (from..=to).map(|reading| self.flow.coarseness[reading]).sum::<f64>();
        self.promoted(line, from, to) as f64 * coarseness / (to - from + 1) as f64
    }

    /// How many died beyond a line between two readings.
    pub(crate) fn died(&self, line: usize, from: usize, to: usize) -> u64 {
        let died = |reading: usize| self.flow.points[reading].died[line];
        died(to).saturating_sub(died(from))
    }

    /// How many live beyond a line.
    pub(crate) fn live(&self, line: usize, reading: usize) -> u64 {
        self.flow.points[reading].live[line]
    }

    /// How many bytes live beyond a line.
    pub(crate) fn bytes(&self, line: usize, reading: usize) -> u64 {
        self.flow.points[reading].bytes[line]
    }

    pub(crate) fn live_bytes(&self, reading: usize) -> u64 {
        self.flow.points[reading].live_bytes
    }

    pub(crate) fn live_objects(&self, reading: usize) -> u64 {
        self.flow.points[reading].live_objects
    }

    /// The most often that `realloc` made any one thing larger; `None` if nothing was ever made larger.
    pub(crate) fn longest_chain(&self) -> Option<u32> {
        let point = &self.flow.points[self.last];
        (point.grown > 0).then_some(point.longest_chain)
    }

    pub(crate) fn allocated_objects(&self, reading: usize) -> u64 {
        self.flow.points[reading].allocated_objects
    }

    /// How much more is allocated a second by everybody else in the last half of this past than in the quarter before: a table
    /// that doubles is not the load that explains it.
    pub(crate) fn load_rise(&self) -> f64 {
        let (begin_s, end_s) = (self.begin_s(), self.end_s());
        let at = |part: f64| self.first_from(begin_s + (end_s - begin_s) * part);
        let rate = |from: usize, to: usize| {
            let own = |reading: usize| self.flow.points[reading].allocated_bytes;
            let work = self.flow.work[to].saturating_sub(self.flow.work[from]);
            let others = work.saturating_sub(own(to).saturating_sub(own(from)));
            others as f64 / (self.at_s(to) - self.at_s(from)).max(1e-9)
        };
        let before = rate(at(0.25), at(0.5));
        if before > 0.0 { rate(at(0.5), self.last) / before } else { 1.0 }
    }

    /// The least of `value` from each reading on to the last: what it never falls below again.
    pub(crate) fn lower_envelope(&self, value: impl Fn(usize) -> u64) -> Vec<u64> {
        let mut envelope: Vec<u64> = (0..=self.last).map(value).collect();
        let mut least = u64::MAX;
        for value in envelope.iter_mut().rev() {
            least = least.min(*value);
            *value = least;
        }
        envelope
    }

    /// The readings that part the time from `from_s` to the end into `count` blocks: one more than blocks.
    pub(crate) fn parts(&self, from_s: f64, count: usize) -> Vec<usize> {
        let (from, width) = (from_s, (self.end_s() - from_s) / count.max(1) as f64);
        (0..=count)
            .map(|nth| if nth == count { self.last } else { self.first_from(from + width * nth as f64) })
            .collect()
    }
}

/// What crossed a line between two readings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    /// The readings.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The middle of the time in which what crossed was born.
    pub(crate) born_s: f64,
    /// How many blocks of the line crossed.
    pub(crate) blocks: f64,
}

/// When something crosses a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// The youngest that something can be when it does.
    pub(crate) young_s: f64,
    /// The oldest.
    pub(crate) old_s: f64,
    /// What is born within this time crosses together.
    pub(crate) block_s: f64,
}
