//! Between the profile and the fields of its file, one for one.

use std::borrow::Cow;

use plimsoll_core::heap::{Amount, GENERATIONS, Generation, Growth};

use super::{SCHEMA, wire};
use crate::profile::{Function, Line, Location, Mapping, Profile, Stack};

pub(super) fn to_wire(profile: &Profile) -> wire::File<'_> {
    let header = profile.header();
    wire::File {
        schema: SCHEMA,
        origin: &header.origin,
        taken_unix_ms: header.taken_unix_ms,
        since_start_ms: header.since_start_ms,
        epoch_ms: header.epoch_ms,
        interval_bytes: header.interval.as_u64(),
        metrics: header.metrics.iter().map(|metric| metric.name()).collect(),
        status: header.status.as_ref(),
        memory: header.memory.as_ref(),
        mappings: profile.mappings().iter().map(mapping_to_wire).collect(),
        functions: profile.functions().iter().map(function_to_wire).collect(),
        locations: profile.locations().iter().map(location_to_wire).collect(),
        stacks: profile.stacks().iter().map(stack_to_wire).collect(),
    }
}

fn mapping_to_wire(mapping: &Mapping) -> wire::Mapping<'_> {
    wire::Mapping {
        path: Cow::Borrowed(&mapping.path),
        build_id: Cow::Borrowed(&mapping.build_id),
        start_address: wire::Address(mapping.start),
        end_address: wire::Address(mapping.end),
        file_offset_bytes: mapping.file_offset,
        bias: wire::Address(mapping.bias),
    }
}

pub(super) fn mapping_from_wire(mapping: wire::Mapping<'_>) -> Mapping {
    Mapping {
        path: mapping.path.into(),
        build_id: mapping.build_id.into(),
        start: mapping.start_address.0,
        end: mapping.end_address.0,
        file_offset: mapping.file_offset_bytes,
        bias: mapping.bias.0,
    }
}

fn function_to_wire(function: &Function) -> wire::Function<'_> {
    wire::Function { name: Cow::Borrowed(&function.name), file: function.file.as_deref().map(Cow::Borrowed) }
}

pub(super) fn function_from_wire(function: wire::Function<'_>) -> Function {
    Function { name: function.name.into(), file: function.file.map(Into::into) }
}

fn location_to_wire(location: &Location) -> wire::Location {
    let line = |line: &Line| wire::Line { function: line.function, line: line.line };
    wire::Location {
        address: wire::Address(location.address),
        mapping: location.mapping,
        lines: location.lines.iter().map(line).collect(),
    }
}

pub(super) fn location_from_wire(location: wire::Location) -> Location {
    let line = |line: wire::Line| Line { function: line.function, line: line.line.filter(|&line| line > 0) };
    Location {
        address: location.address.0,
        mapping: location.mapping,
        lines: location.lines.into_iter().map(line).collect(),
    }
}

fn stack_to_wire(stack: &Stack) -> wire::Stack<'_> {
    let column = |of: fn(&Generation) -> u64| stack.generations.each_ref().map(of);
    let generations = wire::Generations {
        live_samples: column(|it| it.live_samples),
        live_bytes: column(|it| it.live_bytes),
        died_samples: column(|it| it.died_samples),
    };
    let growth = wire::Growth {
        grown: stack.growth.grown,
        grown_bytes: stack.growth.grown_bytes,
        longest_chain: stack.growth.longest_chain,
    };
    wire::Stack {
        id: stack.id,
        locations: Cow::Borrowed(&stack.locations),
        truncated: stack.truncated,
        allocated_objects: stack.allocated.objects,
        allocated_bytes: stack.allocated.bytes,
        freed_objects: stack.freed.objects,
        freed_bytes: stack.freed.bytes,
        generations: (stack.generations != [Generation::default(); GENERATIONS]).then_some(generations),
        growth: (stack.growth != Growth::default()).then_some(growth),
    }
}

pub(super) fn stack_from_wire(stack: wire::Stack<'_>) -> Stack {
    let mut generations = [Generation::default(); GENERATIONS];
    if let Some(columns) = stack.generations {
        for (at, generation) in generations.iter_mut().enumerate() {
            *generation = Generation {
                live_samples: columns.live_samples[at],
                live_bytes: columns.live_bytes[at],
                died_samples: columns.died_samples[at],
            };
        }
    }
    let growth = stack.growth.map_or(Growth::default(), |growth| Growth {
        grown: growth.grown,
        grown_bytes: growth.grown_bytes,
        longest_chain: growth.longest_chain,
    });
    Stack {
        id: stack.id,
        locations: stack.locations.into_owned(),
        truncated: stack.truncated,
        allocated: Amount { objects: stack.allocated_objects, bytes: stack.allocated_bytes },
        freed: Amount { objects: stack.freed_objects, bytes: stack.freed_bytes },
        generations,
        growth,
    }
}
