//! A file of a stranger, read one entry at a time: `["","",…` is three bytes an entry, and a list of texts takes
//! eight times that. The limit is looked at between one entry and the next.

use std::fmt;
use std::marker::PhantomData;

use plimsoll_core::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{convert, wire};
use crate::clean;
use crate::metric::Metric;
use crate::profile::{Header, Parts, Profile};
use crate::read::{Counts, ReadError, ReadLimits};

/// Reads a file of which the schema is known.
pub(super) fn read(bytes: &[u8], limits: &ReadLimits) -> Result<Profile, ReadError> {
    let opened: wire::Opened<'_> =
        serde_json::from_slice(bytes).map_err(|error| damaged(&error, bytes, 0))?;
    let mut counts = Counts::new(limits);
    let mut parts = Parts::default();

    let mut metrics = Vec::new();
    each(opened.metrics, bytes, |wire::Text(name)| {
        // A metric that a later version added is one that this one has no amounts of.
        metrics.extend(Metric::of_name(&name).filter(|metric| !metrics.contains(metric)));
        Ok(())
    })?;
    metrics.sort_unstable();
    parts.header = Header {
        origin: opened.origin.into_owned(),
        taken_unix_ms: opened.taken_unix_ms,
        since_start_ms: opened.since_start_ms,
        epoch_ms: opened.epoch_ms,
        interval: Bytes::new(opened.interval_bytes),
        metrics,
        status: opened.status,
        memory: opened.memory,
    };

    each(opened.mappings, bytes, |mapping| {
        parts.mappings.push(convert::mapping_from_wire(mapping));
        counts.entries("mappings", parts.mappings.len())
    })?;
    each(opened.functions, bytes, |function| {
        parts.functions.push(convert::function_from_wire(function));
        counts.entries("functions", parts.functions.len())
    })?;
    let mut lines = 0;
    each(opened.locations, bytes, |location: wire::Location| {
        lines += location.lines.len();
        counts.entries("lines", lines)?;
        parts.locations.push(convert::location_from_wire(location));
        counts.entries("locations", parts.locations.len())
    })?;
    let locations = &parts.locations;
    each(opened.stacks, bytes, |stack: wire::Stack<'_>| {
        let lines = |&location: &u32| locations.get(location as usize).map_or(0, |it| it.lines.len());
        counts.stack(stack.locations.iter().map(|location| lines(location).max(1)).sum())?;
        parts.stacks.push(convert::stack_from_wire(stack));
        Ok(())
    })?;
    Ok(Profile::from_parts(parts)?)
}

/// Hands the entries of `list`, a part of `bytes`, to `take`, one after the other.
fn each<'de, T: Deserialize<'de>>(
    list: &'de RawValue,
    bytes: &[u8],
    take: impl FnMut(T) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut refused = None;
    let seed = Each { take, refused: &mut refused, entry: PhantomData };
    let read = seed.deserialize(&mut serde_json::Deserializer::from_str(list.get()));
    match (refused, read) {
        (Some(refused), _) => Err(refused),
        (None, Err(error)) => {
            // The list lies in the file, as it is borrowed from it.
            let at = (list.get().as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
            Err(damaged(&error, bytes, at))
        }
        (None, Ok(())) => Ok(()),
    }
}

/// What takes the entries of a list.
struct Each<'r, T, F> {
    take: F,
    /// Why `take` would not.
    refused: &'r mut Option<ReadError>,
    entry: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), ReadError>> DeserializeSeed<'de> for Each<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), ReadError>> Visitor<'de> for Each<'_, T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element()? {
            if let Err(refused) = (self.take)(entry) {
                *self.refused = Some(refused);
                return Err(A::Error::custom("the limit"));
            }
        }
        Ok(())
    }
}

/// What serde says of the part of `bytes` that begins at `at`.
pub(super) fn damaged(error: &serde_json::Error, bytes: &[u8], at: usize) -> ReadError {
    // Its text ends with the place, which has fields of its own.
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    // It quotes the file.
    let what = clean::shortened(&clean::line(what), 200).into_owned();
    let before = &bytes[..at.min(bytes.len())];
    let lines = before.iter().filter(|&&byte| byte == b'\n').count();
    let columns = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
    let column = if error.line() > 1 { error.column() } else { columns + error.column() };
    ReadError::Json { what, line: lines + error.line(), column }
}
