//! pprof of anybody becomes a profile: ours, Go's, those that jemalloc's were converted to.
//!
//! The file is walked four times, as its tables may come in any order: strings, then mappings and functions,
//! then places, then samples. One message is decoded at a time, and only if it is not longer than any honest
//! one, because a decoded list takes up to eight times its bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_core::Bytes;
use plimsoll_core::heap::Amount;
use prost::Message;

use super::proto::{self, field};
use super::wire::{Field, Fields, Value};
use super::{NS_OF_MS, OTHER_TYPES, TRUE, TRUNCATED, TYPES};
use crate::metric::Metric;
use crate::profile::{Function, Header, Line, Location, Mapping, Parts, Profile, Stack};
use crate::read::{Counts, ReadError, ReadLimits};

/// Bytes of one message: a sample with the most frames that are allowed, and labels.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// How many comments of a file become its origin.
const COMMENTS_MAX: usize = 4;
/// Characters of the origin that are kept.
const ORIGIN_CHARS_MAX: usize = 400;

/// Reads pprof, in gzip or not. What it allocates at most stands at [`ReadLimits`].
///
/// Labels are not kept, except that of a truncated stack. Amounts that the file does not have are not in
/// [`Header::metrics`].
///
/// # Errors
/// Says what is wrong with the file.
pub fn read(bytes: &[u8], limits: &ReadLimits) -> Result<Profile, ReadError> {
    read_plain(&crate::read::unpacked(bytes, limits)?, limits)
}

/// [`read`] of what is not packed.
pub(crate) fn read_plain(bytes: &[u8], limits: &ReadLimits) -> Result<Profile, ReadError> {
    let mut counts = Counts::new(limits);
    let mut strings = Strings::of(bytes, &counts)?;
    let columns = Columns::of(bytes, &strings)?;
    let mut parts = Parts { header: header(bytes, &mut strings)?, ..Parts::default() };
    parts.header.metrics = columns.metrics();

    let (mut mapping_of, mut function_of) = (BTreeMap::new(), BTreeMap::new());
    for field in Fields::of(bytes) {
        let field = field?;
        match (field.number, field.value) {
            (field::MAPPING, Value::Bytes(_)) => {
                let mapping: proto::Mapping = message(field, "a mapping")?;
                counts.entries("mappings", parts.mappings.len() + 1)?;
                mapping_of.insert(mapping.id, parts.mappings.len() as u32);
                parts.mappings.push(Mapping {
                    path: strings.shared(mapping.filename, field.at)?,
                    build_id: strings.shared(mapping.build_id, field.at)?,
                    start: mapping.memory_start,
                    end: mapping.memory_limit,
                    file_offset: mapping.file_offset,
                    // The file does not say; it is this wherever code lies in memory as in the file.
                    bias: mapping.memory_start.wrapping_sub(mapping.file_offset),
                });
            }
            (field::FUNCTION, Value::Bytes(_)) => {
                let function: proto::Function = message(field, "a function")?;
                counts.entries("functions", parts.functions.len() + 1)?;
                function_of.insert(function.id, parts.functions.len() as u32);
                let name = if function.name == 0 { function.system_name } else { function.name };
                let file = strings.shared(function.filename, field.at)?;
                parts.functions.push(Function {
                    name: strings.shared(name, field.at)?,
                    file: (!file.is_empty()).then_some(file),
                });
            }
            _ => {}
        }
    }
    let location_of = locations(bytes, &mut parts, &mapping_of, &function_of, &counts)?;
    samples(bytes, &mut parts, &location_of, &columns, &strings, &mut counts)?;
    Ok(Profile::from_parts(parts)?)
}

/// By the id that a file gave it, the index of an entry.
type Indices = BTreeMap<u64, u32>;

fn locations(
    bytes: &[u8],
    parts: &mut Parts,
    mapping_of: &Indices,
    function_of: &Indices,
    counts: &Counts<'_>,
) -> Result<Indices, ReadError> {
    let mut location_of = Indices::new();
    let mut lines_count = 0;
    for field in Fields::of(bytes) {
        let field = field?;
        let (field::LOCATION, Value::Bytes(_)) = (field.number, field.value) else { continue };
        let location: proto::Location = message(field, "a location")?;
        counts.entries("locations", parts.locations.len() + 1)?;
        lines_count += location.line.len();
        counts.entries("lines", lines_count)?;
        location_of.insert(location.id, parts.locations.len() as u32);
        let mapping = match location.mapping_id {
            0 => None,
            id => Some(*mapping_of.get(&id).ok_or_else(|| dangling(field, "mapping", id))?),
        };
        let mut lines = Vec::with_capacity(location.line.len());
        for line in &location.line {
            let id = line.function_id;
            let function = *function_of.get(&id).ok_or_else(|| dangling(field, "function", id))?;
            lines.push(Line { function, line: u32::try_from(line.line).ok().filter(|&line| line > 0) });
        }
        parts.locations.push(Location { address: location.address, mapping, lines });
    }
    Ok(location_of)
}

fn samples(
    bytes: &[u8],
    parts: &mut Parts,
    location_of: &Indices,
    columns: &Columns,
    strings: &Strings<'_>,
    counts: &mut Counts<'_>,
) -> Result<(), ReadError> {
    for field in Fields::of(bytes) {
        let field = field?;
        let (field::SAMPLE, Value::Bytes(_)) = (field.number, field.value) else { continue };
        let sample: proto::Sample = message(field, "a sample")?;
        let mut frames = 0;
        let mut locations = Vec::with_capacity(sample.location_id.len());
        for &id in &sample.location_id {
            let location = *location_of.get(&id).ok_or_else(|| dangling(field, "location", id))?;
            frames += parts.locations[location as usize].lines.len().max(1);
            locations.push(location);
        }
        counts.stack(frames)?;
        let truncated = sample.label.iter().any(|label| {
            strings.get(label.key) == Some(TRUNCATED.as_bytes())
                && strings.get(label.str) == Some(TRUE.as_bytes())
        });
        let (allocated, freed) = columns.amounts(&sample.value, field)?;
        let id = parts.stacks.len() as u32;
        parts.stacks.push(Stack { id, locations, truncated, allocated, freed, ..Stack::default() });
    }
    Ok(())
}

/// The message in `field`.
fn message<M: Message + Default>(field: Field<'_>, what: &str) -> Result<M, ReadError> {
    let Value::Bytes(bytes) = field.value else {
        return Err(ReadError::Pprof { what: format!("{what} is a number"), at: field.at });
    };
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(ReadError::Limit { what: "bytes in one message", max: MESSAGE_BYTES_MAX as u64 });
    }
    M::decode(bytes).map_err(|error| ReadError::Pprof { what: format!("{what}: {error}"), at: field.at })
}

fn dangling(field: Field<'_>, to: &str, id: u64) -> ReadError {
    ReadError::Pprof { what: format!("it refers to {to} {id}, which is not there"), at: field.at }
}

fn header(bytes: &[u8], strings: &mut Strings<'_>) -> Result<Header, ReadError> {
    let mut header = Header::default();
    let mut comments = Vec::new();
    for field in Fields::of(bytes) {
        let field = field?;
        // Signed in the file; what is less than zero says nothing.
        let Value::Number(number) = field.value else { continue };
        let positive = if number > i64::MAX as u64 { 0 } else { number };
        match field.number {
            field::TIME_NANOS => header.taken_unix_ms = positive / NS_OF_MS,
            field::DURATION_NANOS => header.since_start_ms = positive / NS_OF_MS,
            field::PERIOD => header.interval = Bytes::new(positive),
            field::COMMENT if comments.len() < COMMENTS_MAX => {
                let comment = strings.shared(number as i64, field.at)?;
                comments.push(comment.chars().take(ORIGIN_CHARS_MAX).collect::<String>());
            }
            _ => {}
        }
    }
    header.origin = comments.join("; ").chars().take(ORIGIN_CHARS_MAX).collect();
    Ok(header)
}

/// The string table, borrowed; a string that is kept is copied once, however often it is referred to.
struct Strings<'a> {
    list: Vec<&'a [u8]>,
    shared: BTreeMap<usize, Arc<str>>,
}

impl<'a> Strings<'a> {
    fn of(bytes: &'a [u8], counts: &Counts<'_>) -> Result<Self, ReadError> {
        let mut list = Vec::new();
        for field in Fields::of(bytes) {
            let field = field?;
            if let (field::STRING_TABLE, Value::Bytes(string)) = (field.number, field.value) {
                list.push(string);
                counts.entries("strings", list.len())?;
            }
        }
        Ok(Strings { list, shared: BTreeMap::new() })
    }

    fn get(&self, index: i64) -> Option<&'a [u8]> {
        self.list.get(usize::try_from(index).ok()?).copied()
    }

    fn text(&self, index: i64, at: usize) -> Result<&'a [u8], ReadError> {
        // An empty table is that of a file without words.
        let string = self.get(index).or_else(|| (index == 0).then_some(&[][..]));
        string.ok_or_else(|| ReadError::Pprof {
            what: format!("it refers to string {index}, there are {}", self.list.len()),
            at,
        })
    }

    fn shared(&mut self, index: i64, at: usize) -> Result<Arc<str>, ReadError> {
        let string = self.text(index, at)?;
        let key = usize::try_from(index).unwrap_or_default();
        Ok(self.shared.entry(key).or_insert_with(|| String::from_utf8_lossy(string).into()).clone())
    }
}

/// Which value of a sample is which metric.
struct Columns {
    /// By [`Metric::ALL`].
    of: [Option<usize>; 4],
    count: usize,
}

impl Columns {
    fn of(bytes: &[u8], strings: &Strings<'_>) -> Result<Self, ReadError> {
        let mut columns = Columns { of: [None; 4], count: 0 };
        let mut found = Vec::new();
        for field in Fields::of(bytes) {
            let field = field?;
            let (field::SAMPLE_TYPE, Value::Bytes(_)) = (field.number, field.value) else { continue };
            let value_type: proto::ValueType = message(field, "a sample type")?;
            let name = strings.text(value_type.r#type, field.at)?;
            let unit = strings.text(value_type.unit, field.at)?;
            let known = TYPES.iter().chain(&OTHER_TYPES);
            let metric = known.clone().find(|known| known.1.as_bytes() == name && known.2.as_bytes() == unit);
            if let Some(&(metric, _, _)) = metric {
                columns.of[metric as usize].get_or_insert(columns.count);
            } else if found.len() < TYPES.len() {
                let text =
                    |bytes: &[u8]| -> String { String::from_utf8_lossy(bytes).chars().take(40).collect() };
                found.push(crate::clean::line(&format!("{} ({})", text(name), text(unit))).into_owned());
            }
            columns.count += 1;
        }
        // Words without a heap's bytes: a profile of time, or of something else.
        let bytes_known = [Metric::LiveBytes, Metric::AllocatedBytes];
        if bytes_known.iter().all(|metric| columns.of[*metric as usize].is_none()) {
            return Err(if columns.count == 0 {
                ReadError::Pprof { what: "it does not say what it measured".to_owned(), at: 0 }
            } else {
                ReadError::NotHeap { found }
            });
        }
        Ok(columns)
    }

    fn metrics(&self) -> Vec<Metric> {
        Metric::ALL.into_iter().filter(|metric| self.of[*metric as usize].is_some()).collect()
    }

    /// What was allocated and what was freed.
    fn amounts(&self, values: &[i64], field: Field<'_>) -> Result<(Amount, Amount), ReadError> {
        if values.len() != self.count {
            let what = format!("a sample has {} values, the file says {}", values.len(), self.count);
            return Err(ReadError::Pprof { what, at: field.at });
        }
        let value = |metric: Metric| match self.of[metric as usize] {
            Some(column) => u64::try_from(values[column]).map(Some).map_err(|_| ReadError::Difference),
            None => Ok(None),
        };
        let one = |live: Metric, allocated: Metric| -> Result<(u64, u64), ReadError> {
            // Without a word about what was freed everything lives; without what was allocated, the live was.
            let (live, allocated) = (value(live)?, value(allocated)?);
            let live_or = live.or(allocated).unwrap_or_default();
            let allocated_or = allocated.unwrap_or_default().max(live_or);
            Ok((allocated_or, allocated_or - live_or))
        };
        let (bytes, freed_bytes) = one(Metric::LiveBytes, Metric::AllocatedBytes)?;
        let (objects, freed_objects) = one(Metric::LiveObjects, Metric::AllocatedObjects)?;
        Ok((Amount { objects, bytes }, Amount { objects: freed_objects, bytes: freed_bytes }))
    }
}
