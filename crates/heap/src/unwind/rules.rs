//! How to get from one frame to its caller, in thirty bits, and the cache of it for addresses that were met.
//!
//! Reading the tables of a module for one address takes a few hundred nanoseconds; the next capture that
//! meets the address must not do it again, on whatever thread. A cache for each thread would need
//! thread-local storage of some KiB and be cold in each thread; a lock must not be taken here. So there is
//! one for the process, and an entry of it is **one word**: the rule and the part of the address that its
//! place in the array does not say. A word is read and written whole, so there is nothing that could be torn,
//! and nothing to wait for. Whoever is overwritten by somebody else's entry is looked up anew next time.
//!
//! ```text
//! address (47 bits)    46..13 tag                          12..0 which place, mixed with bits of the tag
//! word (64 bits)       63..30 tag    29..27 kind    26..23 slot of rbp    22..0 offset, in words
//! ```
//!
//! An address has two places, half the array apart; the tag says which of them comes first. A newcomer takes
//! its first place, and who was there goes to the other of its own.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, AtomicUsize, fence};

/// How to find the caller's frame. The canonical frame address (CFA) is what `rsp` will be in the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule(u32);

/// What a rule's CFA is computed from, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No word of the cache: the array starts as zeros.
    Nothing,
    /// `rsp + offset`.
    FromSp,
    /// `rbp + offset`.
    FromBp,
    /// The word at `rbp + offset`: a function of gcc's that aligned its stack. The caller's `rbp` is at
    /// `rbp`.
    AtBp,
    /// The kernel's frame of a signal: registers of the interrupted function are at fixed places above `rsp`.
    Signal,
    /// Nobody called this: the first function of a thread or of the program.
    End,
    /// The module says nothing about the address: only the chain of frame pointers is left.
    Unlisted,
    /// The module says something that thirty bits, or we, cannot express.
    Stop,
}

const OFFSET_BITS: u32 = 23;
const SLOT_BITS: u32 = 4;
const RULE_BITS: u32 = 30;
const KIND_AT: u32 = OFFSET_BITS + SLOT_BITS;
const _: () = assert!(KIND_AT + 3 == RULE_BITS);
const WORD: i64 = 8;
/// `AtBp` has negative offsets: they are stored with this added.
const AT_BP_ZERO: u32 = 1 << (OFFSET_BITS - 1);

impl Rule {
    pub(super) const NOTHING: Self = Self::plain(Kind::Nothing);
    pub(super) const END: Self = Self::plain(Kind::End);
    pub(super) const SIGNAL: Self = Self::plain(Kind::Signal);
    pub(super) const UNLISTED: Self = Self::plain(Kind::Unlisted);
    pub(super) const STOP: Self = Self::plain(Kind::Stop);

    const fn plain(kind: Kind) -> Self {
        Self((kind as u32) << KIND_AT)
    }

    /// The CFA is `offset` bytes above the register; the caller's `rbp` is in the given word below the CFA,
    /// or still in its register. `None` if that does not fit: frames of 64 MiB, `rbp` 16 words away.
    pub(super) fn from_register(kind: Kind, offset: i64, bp_slot: Option<i64>) -> Option<Self> {
        let words = offset / WORD;
        // Slot 1 is the return address; slot 0 says "unchanged".
        let slot = bp_slot.unwrap_or(0);
        let fits = offset % WORD == 0
            && (1..1 << OFFSET_BITS).contains(&words)
            && (bp_slot.is_none() || (2..1 << SLOT_BITS).contains(&slot));
        let fields = u32::try_from(slot).ok()? << OFFSET_BITS | u32::try_from(words).ok()?;
        fits.then_some(Self(Self::plain(kind).0 | fields))
    }

    /// [`Kind::AtBp`].
    pub(super) fn at_bp(offset: i64) -> Option<Self> {
        let words = u32::try_from(offset / WORD + i64::from(AT_BP_ZERO)).ok()?;
        (offset % WORD == 0 && words < 1 << OFFSET_BITS).then_some(Self(Self::plain(Kind::AtBp).0 | words))
    }

    pub(super) fn kind(self) -> Kind {
        match self.0 >> KIND_AT {
            1 => Kind::FromSp,
            2 => Kind::FromBp,
            3 => Kind::AtBp,
            4 => Kind::Signal,
            5 => Kind::End,
            6 => Kind::Unlisted,
            7 => Kind::Stop,
            _ => Kind::Nothing,
        }
    }

    /// Whether it is of [`Kind::FromSp`] or [`Kind::FromBp`], as nearly all are.
    #[inline(always)]
    pub(super) fn is_usual(self) -> bool {
        (self.0 >> KIND_AT).wrapping_sub(Kind::FromSp as u32) < 2
    }

    /// Of a usual one: whether it is of [`Kind::FromBp`].
    #[inline(always)]
    pub(super) fn is_from_bp(self) -> bool {
        self.0 >> KIND_AT == Kind::FromBp as u32
    }

    /// In bytes, of a usual one.
    #[inline(always)]
    pub(super) fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize * 8
    }

    /// In bytes, of [`Kind::AtBp`].
    pub(super) fn at_bp_offset(self) -> isize {
        self.offset().cast_signed() - (AT_BP_ZERO as usize * 8).cast_signed()
    }

    /// How far below the CFA the caller's `rbp` is, in bytes; zero if it is still in its register.
    #[inline(always)]
    pub(super) fn bp_below(self) -> usize {
        (self.0 >> OFFSET_BITS & ((1 << SLOT_BITS) - 1)) as usize * 8
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind() {
            kind @ (Kind::FromSp | Kind::FromBp) => {
                write!(f, "{kind:?}+{} rbp at -{}", self.offset(), self.bp_below())
            }
            Kind::AtBp => write!(f, "AtBp{:+}", self.at_bp_offset()),
            kind => write!(f, "{kind:?}"),
        }
    }
}

/// The bits of an address that are not in the tag.
const LOW_BITS: u32 = 13;
/// How many addresses the cache remembers; more of them in use at once cost a reading of the tables now and
/// then. The stacks of a large program that allocate have some thousands.
pub(super) const PLACES: usize = 2 << LOW_BITS;
/// What the cache takes once it is in use: 128 KiB. A page of it is resident from its first entry on.
pub(crate) const CACHE_BYTES: usize = PLACES * size_of::<AtomicU64>();
const _: () = assert!(CACHE_BYTES == 128 << 10);

static CACHE: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];

/// How often the cache was emptied.
static EMPTIED: AtomicUsize = AtomicUsize::new(0);

/// The address's first place.
#[inline(always)]
fn place(address: u64) -> usize {
    // Return addresses are spread well over the bytes of a page, and the mixed-in bits keep apart what lies
    // at the same byte of two pages. The topmost bit of the place depends on the tag alone, so that tag and
    // either of the places give the address.
    ((address ^ (address >> LOW_BITS)) as usize) & (PLACES - 1)
}

/// The other place of whoever may be in this one.
const fn other(place: usize) -> usize {
    place ^ (PLACES / 2)
}

/// The rule for an address, if it is remembered; [`Rule::NOTHING`] if not.
#[inline(always)]
pub(super) fn remembered(address: u64) -> Rule {
    let place = place(address);
    // An address of more than 47 bits has a longer tag than any word, and is never found. One so low that its
    // tag is zero finds the zero of an unused word, which is no rule.
    let tag = address >> LOW_BITS;
    let mut word = CACHE[place].load(Relaxed);
    if word >> RULE_BITS != tag {
        word = CACHE[other(place)].load(Relaxed);
        if word >> RULE_BITS != tag {
            return Rule::NOTHING;
        }
    }
    Rule(word as u32 & ((1 << RULE_BITS) - 1))
}

/// What [`EMPTIED`] was before a rule was looked up: a rule that was read from a list of modules which has
/// been replaced since must not stay.
#[derive(Clone, Copy)]
pub(super) struct Since(usize);

pub(super) fn since() -> Since {
    Since(EMPTIED.load(SeqCst))
}

/// Remembers the rule for an address.
pub(super) fn remember(address: u64, rule: Rule, since: Since) {
    let tag = address >> LOW_BITS;
    if tag >> (u64::BITS - RULE_BITS) != 0 {
        return;
    }
    let (first, second) = (&CACHE[place(address)], &CACHE[other(place(address))]);
    second.store(first.load(Relaxed), Relaxed);
    first.store(tag << RULE_BITS | u64::from(rule.0), Relaxed);
    // Either the emptying saw these two words, or this sees that there was one.
    fence(SeqCst);
    if EMPTIED.load(SeqCst) != since.0 {
        first.store(0, Relaxed);
        second.store(0, Relaxed);
    }
}

/// Forgets everything. To be called after the list of modules was replaced.
pub(super) fn empty() {
    EMPTIED.fetch_add(1, SeqCst);
    fence(SeqCst);
    CACHE.iter().for_each(|word| word.store(0, Relaxed));
}
