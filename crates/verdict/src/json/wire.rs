//! The fields of the file, named as they are there. Text is borrowed, from the profile or the file; the lists of a
//! file that is read are left as text, to be read one entry at a time.

use std::borrow::Cow;

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::profile::{Memory, Status};

/// What is looked at before anything else.
#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow, default)]
    pub(super) schema: Option<Cow<'a, str>>,
    #[serde(rename = "dhatFileVersion", default)]
    pub(super) dhat: Option<IgnoredAny>,
}

/// A file that is written.
#[derive(Serialize)]
pub(super) struct File<'a> {
    pub(super) schema: &'a str,
    pub(super) origin: &'a str,
    pub(super) taken_unix_ms: u64,
    pub(super) since_start_ms: u64,
    pub(super) epoch_ms: u64,
    pub(super) interval_bytes: u64,
    pub(super) metrics: Vec<&'a str>,
    pub(super) status: Option<&'a Status>,
    pub(super) memory: Option<&'a Memory>,
    pub(super) mappings: Vec<Mapping<'a>>,
    pub(super) functions: Vec<Function<'a>>,
    pub(super) locations: Vec<Location>,
    pub(super) stacks: Vec<Stack<'a>>,
}

/// The same file, opened.
#[derive(Deserialize)]
pub(super) struct Opened<'a> {
    #[serde(borrow)]
    pub(super) origin: Cow<'a, str>,
    pub(super) taken_unix_ms: u64,
    pub(super) since_start_ms: u64,
    pub(super) epoch_ms: u64,
    pub(super) interval_bytes: u64,
    #[serde(borrow)]
    pub(super) metrics: &'a RawValue,
    #[serde(default)]
    pub(super) status: Option<Status>,
    #[serde(default)]
    pub(super) memory: Option<Memory>,
    #[serde(borrow)]
    pub(super) mappings: &'a RawValue,
    #[serde(borrow)]
    pub(super) functions: &'a RawValue,
    #[serde(borrow)]
    pub(super) locations: &'a RawValue,
    #[serde(borrow)]
    pub(super) stacks: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Mapping<'a> {
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) build_id: Cow<'a, str>,
    pub(super) start_address: Address,
    pub(super) end_address: Address,
    pub(super) file_offset_bytes: u64,
    pub(super) bias: Address,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Location {
    pub(super) address: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mapping: Option<u32>,
    pub(super) lines: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) function: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Stack<'a> {
    pub(super) id: u32,
    pub(super) locations: Cow<'a, [u32]>,
    pub(super) truncated: bool,
    pub(super) allocated_objects: u64,
    pub(super) allocated_bytes: u64,
    pub(super) freed_objects: u64,
    pub(super) freed_bytes: u64,
    /// Youngest first; absent when the source had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) generations: Option<Generations>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) growth: Option<Growth>,
}

/// By columns: ten generations of three numbers, without naming each thirty times.
#[derive(Serialize, Deserialize)]
pub(super) struct Generations {
    pub(super) live_samples: [u64; plimsoll_core::heap::GENERATIONS],
    pub(super) live_bytes: [u64; plimsoll_core::heap::GENERATIONS],
    pub(super) died_samples: [u64; plimsoll_core::heap::GENERATIONS],
}

#[derive(Serialize, Deserialize)]
pub(super) struct Growth {
    pub(super) grown: u64,
    pub(super) grown_bytes: u64,
    pub(super) longest_chain: u32,
}

/// An address: `0x…` in the file.
#[derive(Clone, Copy)]
pub(super) struct Address(pub(super) u64);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?.0;
        let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Address).ok_or_else(|| D::Error::custom("an address is not a text like `0x7f12`"))
    }
}

/// Text that is borrowed if it can be.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);
