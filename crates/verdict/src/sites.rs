//! What a table has a row for: all stacks with the same line of the program and the same function that asked the
//! allocator. A stack for each row would split one leak among all ways that lead there; the line alone would not
//! tell a `Vec` that grows from a `HashMap` beside it. A line of Python stands for itself: what one expression makes
//! comes from a dozen functions of the interpreter, which tell its reader nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use plimsoll_core::heap::{Amount, GENERATIONS, Generation};

use crate::library::is_python;
use crate::metric::Metric;
use crate::profile::{Frames, Profile, Stack};

/// Stacks with the same line of the program and the same leaf. Amounts are of all of them together.
pub(crate) struct Site {
    /// The frame that is named: see [`Frames::own`].
    pub(crate) own: Option<usize>,
    /// The function that asked the allocator: see [`Frames::leaf`]. None where the line is one of Python.
    pub(crate) leaf: Option<usize>,
    pub(crate) live: Amount,
    pub(crate) allocated: Amount,
    pub(crate) freed: Amount,
    pub(crate) live_samples: u64,
    /// Youngest first.
    pub(crate) generations: [Generation; GENERATIONS],
    /// How many stacks they are.
    pub(crate) stacks: usize,
    /// The index of the one that has the most of what was asked for.
    pub(crate) heaviest: usize,
}

/// What is shown of a frame, and so what makes two frames one.
type Shown<'a> = Option<(&'a str, Option<&'a str>, Option<u32>)>;

/// The sites that have any of `metric`, those with the most of it first. Allocates about 400 bytes for each.
pub(crate) fn sites(profile: &Profile, frames: &Frames<'_>, metric: Metric) -> Vec<Site> {
    let shown = |number: Option<usize>| -> Shown<'_> {
        number.map(|number| frames.get(number)).map(|it| (&*it.function, it.file, it.line))
    };
    let mut sites: BTreeMap<(Shown<'_>, Shown<'_>), Site> = BTreeMap::new();
    for (index, stack) in profile.stacks().iter().enumerate() {
        if metric.amount_of(stack) == Amount::default() {
            continue;
        }
        let own = frames.own_number(stack);
        let of_python = own.is_some_and(|number| frames.get(number).file.is_some_and(is_python));
        let leaf = if of_python { None } else { frames.leaf_number(stack) };
        let site = sites.entry((shown(own), shown(leaf))).or_insert_with(|| Site::new(own, leaf, index));
        site.add(stack);
        if metric.of(stack) > metric.of(&profile.stacks()[site.heaviest]) {
            site.heaviest = index;
        }
    }
    let mut sites: Vec<Site> = sites.into_values().collect();
    // Stable: equal ones stay in the order of their names.
    sites.sort_by_key(|site| {
        let amount = site.amount(metric);
        Reverse(if metric.is_bytes() {
            (amount.bytes, amount.objects)
        } else {
            (amount.objects, amount.bytes)
        })
    });
    sites
}

impl Site {
    fn new(own: Option<usize>, leaf: Option<usize>, heaviest: usize) -> Site {
        let nothing = Amount::default();
        Site {
            own,
            leaf,
            live: nothing,
            allocated: nothing,
            freed: nothing,
            live_samples: 0,
            generations: [Generation::default(); GENERATIONS],
            stacks: 0,
            heaviest,
        }
    }

    fn add(&mut self, stack: &Stack) {
        let add = |sum: &mut Amount, one: Amount| {
            sum.objects = sum.objects.saturating_add(one.objects);
            sum.bytes = sum.bytes.saturating_add(one.bytes);
        };
        add(&mut self.live, stack.live());
        add(&mut self.allocated, stack.allocated);
        add(&mut self.freed, stack.freed);
        self.live_samples = self.live_samples.saturating_add(stack.live_samples());
        for (sum, one) in self.generations.iter_mut().zip(&stack.generations) {
            sum.live_samples = sum.live_samples.saturating_add(one.live_samples);
            sum.live_bytes = sum.live_bytes.saturating_add(one.live_bytes);
            sum.died_samples = sum.died_samples.saturating_add(one.died_samples);
        }
        self.stacks += 1;
    }

    /// What it has of the kind that `metric` is of: live or allocated.
    pub(crate) fn amount(&self, metric: Metric) -> Amount {
        if metric.is_live() { self.live } else { self.allocated }
    }

    /// What it has of `metric`.
    pub(crate) fn of(&self, metric: Metric) -> u64 {
        let amount = self.amount(metric);
        if metric.is_bytes() { amount.bytes } else { amount.objects }
    }
}

/// What all of `sites` have together of `metric`.
pub(crate) fn total(sites: &[Site], metric: Metric) -> u64 {
    sites.iter().fold(0, |sum: u64, site| sum.saturating_add(site.of(metric)))
}
