//! A profile as pprof, one message at a time: the encoded whole is never held.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::proto::{self, field};
use super::{DEFAULT_TYPE, NS_OF_MS, PERIOD_TYPE, TRUE, TRUNCATED, TYPES};
use crate::profile::{Profile, Stack};

/// How much is encoded before it is packed.
const BLOCK: usize = 64 << 10;

/// Writes `profile` as pprof in gzip. Tools are told to leave out the allocator's own frames
/// (`drop_frames`); they are in the file. Allocates 64 KiB, the packer's 300 KiB, and about 64 bytes for each
/// different name.
///
/// # Errors
/// Those of `out`.
pub fn write(profile: &Profile, out: impl Write) -> io::Result<()> {
    let allocators = crate::library::allocator_pattern();
    let mut strings = Strings::new();
    let mut out = Out { gzip: GzEncoder::new(out, Compression::default()), block: Vec::new() };

    for (_, name, unit) in TYPES {
        out.message(field::SAMPLE_TYPE, &value_type(&mut strings, name, unit))?;
    }
    let (key, value) = (strings.number(TRUNCATED), strings.number(TRUE));
    let truncated = proto::Label { key, str: value };
    for stack in profile.stacks() {
        out.message(field::SAMPLE, &sample(stack, &truncated))?;
    }
    mappings(profile, &mut strings, &mut out)?;
    for (index, location) in profile.locations().iter().enumerate() {
        let line = |line: &crate::profile::Line| proto::Line {
            function_id: u64::from(line.function) + 1,
            line: line.line.map_or(0, i64::from),
        };
        let location = proto::Location {
            id: index as u64 + 1,
            mapping_id: location.mapping.map_or(0, |mapping| u64::from(mapping) + 1),
            address: location.address,
            line: location.lines.iter().map(line).collect(),
        };
        out.message(field::LOCATION, &location)?;
    }
    for (index, function) in profile.functions().iter().enumerate() {
        let name = strings.number(&function.name);
        let filename = strings.number(function.file.as_deref().unwrap_or_default());
        // Empty, not the same as the name: pprof takes a name that is its own system name for one that it has to
        // make readable, and makes `::alloc` of `<Heap as GlobalAlloc>::alloc`.
        let system_name = 0;
        let function = proto::Function { id: index as u64 + 1, name, system_name, filename };
        out.message(field::FUNCTION, &function)?;
    }
    // Tools leave out the allocator's own frames at the leaf; else all bytes are those of one function.
    out.number(field::DROP_FRAMES, strings.number(&allocators) as u64)?;
    let header = profile.header();
    let ns = |ms: u64| ms.saturating_mul(NS_OF_MS).min(i64::MAX as u64);
    out.number(field::TIME_NANOS, ns(header.taken_unix_ms))?;
    out.number(field::DURATION_NANOS, ns(header.since_start_ms))?;
    out.message(field::PERIOD_TYPE, &value_type(&mut strings, PERIOD_TYPE.0, PERIOD_TYPE.1))?;
    out.number(field::PERIOD, header.interval.as_u64().min(i64::MAX as u64))?;
    if !header.origin.is_empty() {
        out.number(field::COMMENT, strings.number(&header.origin) as u64)?;
    }
    out.number(field::DEFAULT_SAMPLE_TYPE, strings.number(DEFAULT_TYPE) as u64)?;
    for string in &strings.list {
        out.bytes(field::STRING_TABLE, string.as_bytes())?;
    }
    out.finish()
}

fn sample(stack: &Stack, truncated: &proto::Label) -> proto::Sample {
    proto::Sample {
        location_id: stack.locations.iter().map(|&location| u64::from(location) + 1).collect(),
        // The check of a profile holds every amount under 2^63.
        value: TYPES.iter().map(|(metric, _, _)| metric.of(stack) as i64).collect(),
        label: if stack.truncated { vec![truncated.clone()] } else { Vec::new() },
    }
}

fn mappings<'a>(
    profile: &'a Profile,
    strings: &mut Strings<'a>,
    out: &mut Out<impl Write>,
) -> io::Result<()> {
    // What any of its places knows: a tool that is told "has functions" does not name anew what we named.
    let mut has = vec![[false; 4]; profile.mappings().len()];
    for location in profile.locations() {
        let Some(mapping) = location.mapping else { continue };
        let [functions, files, lines, inlined] = &mut has[mapping as usize];
        *functions |= !location.lines.is_empty();
        *inlined |= location.lines.len() > 1;
        for line in &location.lines {
            *files |= profile.functions()[line.function as usize].file.is_some();
            *lines |= line.line.is_some();
        }
    }
    for (index, mapping) in profile.mappings().iter().enumerate() {
        let [has_functions, has_filenames, has_line_numbers, has_inline_frames] = has[index];
        let mapping = proto::Mapping {
            id: index as u64 + 1,
            memory_start: mapping.start,
            memory_limit: mapping.end,
            file_offset: mapping.file_offset,
            filename: strings.number(&mapping.path),
            build_id: strings.number(&mapping.build_id),
            has_functions,
            has_filenames,
            has_line_numbers,
            has_inline_frames,
        };
        out.message(field::MAPPING, &mapping)?;
    }
    Ok(())
}

fn value_type(strings: &mut Strings<'_>, name: &'static str, unit: &'static str) -> proto::ValueType {
    proto::ValueType { r#type: strings.number(name), unit: strings.number(unit) }
}

/// The string table while it grows: each string once, the empty one first.
struct Strings<'a> {
    list: Vec<&'a str>,
    number_of: BTreeMap<&'a str, i64>,
}

impl<'a> Strings<'a> {
    fn new() -> Self {
        Strings { list: vec![""], number_of: BTreeMap::from([("", 0)]) }
    }

    fn number(&mut self, string: &'a str) -> i64 {
        *self.number_of.entry(string).or_insert_with(|| {
            self.list.push(string);
            self.list.len() as i64 - 1
        })
    }
}

/// Fields on their way into the file.
struct Out<W: Write> {
    gzip: GzEncoder<W>,
    block: Vec<u8>,
}

impl<W: Write> Out<W> {
    fn message(&mut self, number: u32, message: &impl Message) -> io::Result<()> {
        self.key(number, 2);
        message.encode_length_delimited(&mut self.block).expect("a Vec grows as far as a message needs");
        self.flush_over(BLOCK)
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) -> io::Result<()> {
        self.key(number, 2);
        self.varint(bytes.len() as u64);
        self.block.extend_from_slice(bytes);
        self.flush_over(BLOCK)
    }

    fn number(&mut self, number: u32, value: u64) -> io::Result<()> {
        self.key(number, 0);
        self.varint(value);
        self.flush_over(BLOCK)
    }

    fn key(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.block.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.block.push(value as u8);
    }

    fn flush_over(&mut self, bytes: usize) -> io::Result<()> {
        if self.block.len() > bytes {
            self.gzip.write_all(&self.block)?;
            self.block.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush_over(0)?;
        self.gzip.finish()?.flush()
    }
}
