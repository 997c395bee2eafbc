//! Stacks with names: which line of the program each belongs to.

use std::collections::BTreeMap;

use super::naming::function_of;
use super::series::Series;
use super::verdict::StackFrame;
use crate::library;
use crate::profile::{Frames, Profile, Stack};

/// The most frames of an exemplar.
const EXEMPLAR_FRAMES_MAX: usize = 64;

/// Stacks that are one to the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The function, closures folded into it.
    pub(super) function: String,
    /// Its source file, as it is shown.
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    /// How many lines it consists of.
    pub(super) lines: usize,
    pub(super) stacks: Vec<u32>,
}

/// All places at which something that had grown old came or went.
pub(super) struct Places<'a> {
    named: Option<(&'a Profile, Frames<'a>)>,
    lines: Vec<Place>,
    functions: Vec<Place>,
}

impl<'a> Places<'a> {
    pub(super) fn of(series: &Series, names: Option<&'a Profile>) -> Places<'a> {
        let named = names.map(|profile| (profile, profile.frames()));
        let mut lines: BTreeMap<(String, Option<String>, Option<u32>), Vec<u32>> = BTreeMap::new();
        for id in series.active_stacks() {
            lines.entry(key_of(named.as_ref(), id)).or_default().push(id);
        }
        let lines: Vec<Place> = lines
            .into_iter()
            .map(|((function, file, line), stacks)| Place { function, file, line, lines: 1, stacks })
            .collect();
        let mut functions: BTreeMap<(&str, Option<&str>), Place> = BTreeMap::new();
        for place in &lines {
            functions
                .entry((&place.function, place.file.as_deref()))
                .and_modify(|function| {
                    function.stacks.extend(&place.stacks);
                    function.lines += 1;
                })
                .or_insert_with(|| place.clone());
        }
        let functions = functions.into_values().filter(|place| place.lines > 1).collect();
        Places { named, lines, functions }
    }

    pub(super) fn lines(&self) -> &[Place] {
        &self.lines
    }

    /// Those with more than one line.
    pub(super) fn functions(&self) -> &[Place] {
        &self.functions
    }

    /// The frames of the stack that has the most of a place, leaf first.
    pub(super) fn exemplar(&self, stacks: &[u32]) -> Vec<StackFrame> {
        let Some((profile, frames)) = &self.named else { return Vec::new() };
        let its = stacks.iter().filter_map(|&id| stack_of(profile, id));
        let Some(heaviest) = its.max_by_key(|stack| stack.live().bytes) else { return Vec::new() };
        frames
            .of(heaviest)
            .take(EXEMPLAR_FRAMES_MAX)
            .map(|frame| StackFrame {
                function: frame.function.to_string(),
                file: frame.file.map(|file| library::short_file(file).to_owned()),
                line: frame.line,
            })
            .collect()
    }
}

impl Place {
    /// By which its lifetimes are remembered: without the line, which moves with every edit.
    pub(super) fn key(&self) -> String {
        key(&self.function, self.file.as_deref())
    }
}

pub(super) fn key(function: &str, file: Option<&str>) -> String {
    match file {
        Some(file) => format!("{function} in {}", library::file_name(file)),
        None => function.to_owned(),
    }
}

fn stack_of(profile: &Profile, id: u32) -> Option<&Stack> {
    // In a snapshot they are sorted by number; in a file of somebody else they need not be.
    let stacks = profile.stacks();
    match stacks.binary_search_by_key(&id, |stack| stack.id) {
        Ok(at) => stacks.get(at),
        Err(_) => stacks.iter().find(|stack| stack.id == id),
    }
}

fn key_of(named: Option<&(&Profile, Frames<'_>)>, id: u32) -> (String, Option<String>, Option<u32>) {
    let own = named.and_then(|(profile, frames)| {
        let stack = stack_of(profile, id)?;
        let own = frames.own(stack)?;
        let outward: Vec<_> = frames.of(stack).skip_while(|frame| !std::ptr::eq(*frame, own)).collect();
        Some((function_of(&outward), own))
    });
    match own {
        Some((function, frame)) => {
            (function, frame.file.map(|file| library::short_file(file).to_owned()), frame.line)
        }
        None => (format!("stack {id}, which has no name"), None, None),
    }
}
