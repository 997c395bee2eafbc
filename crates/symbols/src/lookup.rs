//! One module, looked up once: the debug information first, the symbol tables for what it leaves open, source files if
//! they may be read, and the module's name for the rest. All that is opened here is closed when this returns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use plimsoll_core::Bytes;
use plimsoll_core::heap::{CodeFrame, MADE_AT_RUN_TIME, Module};

use crate::demangle::{cut, demangle, qualified};
use crate::dwarf::{self, Draft, Findings};
use crate::file::{Elf, Refused, Room, Trouble, Work, find_symbols};
use crate::files::{self, Files};
use crate::limits::{Limits, Sources};
use crate::problem::{ProblemKind, SymbolTable};
use crate::source::Outlines;
use crate::text::Text;

/// The longest name of a module in `module+0x…`, in bytes.
const MODULE_NAME_MAX: usize = 255;

/// What one module's addresses are called.
pub(crate) struct Looked {
    /// The frames of each probe, innermost first; never none.
    pub(crate) frames: Vec<Arc<[CodeFrame]>>,
    pub(crate) problems: Vec<ProblemKind>,
    /// There was room for all names, so the answer is as good as the files.
    pub(crate) complete: bool,
}

/// Looks `probes` up, sorted addresses of the module's file (each is one less than a return address).
pub(crate) fn look_up(
    module: &Module,
    probes: &[u64],
    limits: &Limits,
    outlines: &mut Outlines,
    text: &mut Text<'_>,
) -> Looked {
    if module.path == MADE_AT_RUN_TIME {
        return made_at_run_time(probes.len());
    }
    let mut places = vec![Vec::new(); probes.len()];
    let mut problems = Vec::new();
    // The parsers are held not to panic on any file. Should one, this module loses names and not the service;
    // what was found until then stands in `places`, which is only ever assigned whole, or name by name.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        Search { module, probes, limits, places: &mut places, problems: &mut problems }.run(outlines, text);
    }));
    if let Err(panic) = outcome {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        problems.push(ProblemKind::Panicked { detail: said.unwrap_or_else(|| "without words".to_owned()) });
    }
    let frames = places.into_iter().zip(probes).map(|(place, probe)| finish(module, *probe, place, text));
    let frames = frames.collect();
    Looked { frames, problems, complete: !text.full() }
}

/// There is no file to look into, and nothing missing: all of it has one name.
fn made_at_run_time(probes: usize) -> Looked {
    let frame = CodeFrame { function: MADE_AT_RUN_TIME.into(), file: None, line: None };
    Looked { frames: vec![Arc::from([frame]); probes], problems: Vec::new(), complete: true }
}

struct Search<'a> {
    module: &'a Module,
    probes: &'a [u64],
    limits: &'a Limits,
    places: &'a mut Vec<Vec<Draft>>,
    problems: &'a mut Vec<ProblemKind>,
}

impl Search<'_> {
    fn run(mut self, outlines: &mut Outlines, text: &mut Text<'_>) {
        let work = Rc::new(Work::new(self.limits.work_max.as_u64()));
        let files = files::find(self.module, self.limits, &work, self.problems);
        if let Some(elf) = files.with_debug_info() {
            let mut room = Room::new(self.limits.decompressed_max.as_u64());
            let supplementary = files.supplementary.as_ref();
            match dwarf::look_up(elf, supplementary, self.probes, &mut room, &work, text) {
                Ok(findings) => self.take(elf, findings),
                Err(Refused::Unreadable(error)) => {
                    self.problems.push(ProblemKind::Unreadable { file: name(elf), error });
                }
                Err(Refused::Malformed(detail)) => self.malformed(elf, detail, 1),
                Err(Refused::Missing | Refused::TooLarge(_)) => {}
            }
            if room.refused {
                self.problems.push(ProblemKind::DecompressedTooLarge {
                    file: name(elf),
                    size: Bytes::new(room.asked),
                    limit: self.limits.decompressed_max,
                });
            }
        }
        let symbols = self.symbols(&files, &work, text);
        if files.with_debug_info().is_none() && files.program.is_some() {
            self.problems.push(ProblemKind::NoDebugInfo { symbols });
        }
        // Without the program's file nobody knows which sources it was made of.
        let built = files.program.as_ref().and_then(|elf| elf.modified);
        if let (Sources::AtHand, Some(built)) = (self.limits.sources, built) {
            outlines.name(self.places, built, &work, text);
        }
        if work.exhausted() {
            self.problems.push(ProblemKind::TooMuchWork { limit: self.limits.work_max });
        }
    }

    fn take(&mut self, elf: &Elf, findings: Findings) {
        if findings.split {
            self.problems.push(ProblemKind::SplitDebugInfo);
        }
        if let Some((detail, places)) = findings.wrong {
            self.malformed(elf, detail, places);
        }
        if let Some(error) = findings.io {
            self.problems.push(ProblemKind::Unreadable { file: name(elf), error });
        }
        *self.places = findings.places;
    }

    fn malformed(&mut self, elf: &Elf, detail: String, places: u64) {
        self.problems.push(ProblemKind::Malformed { file: name(elf), detail, places });
    }

    /// Names what has no name yet from the symbol tables; says which there were.
    fn symbols(&mut self, files: &Files, work: &Rc<Work>, text: &mut Text<'_>) -> SymbolTable {
        let all = [(&files.program, ".symtab"), (&files.debug, ".symtab"), (&files.program, ".dynsym")];
        let mut best = SymbolTable::None;
        for (elf, table) in all {
            let Some(elf) = elf.as_ref().filter(|elf| elf.has(table)) else { continue };
            best = best.min(if table == ".symtab" { SymbolTable::Full } else { SymbolTable::Dynamic });
            let open: Vec<usize> =
                (0..self.probes.len()).filter(|&index| unnamed(&self.places[index])).collect();
            if open.is_empty() {
                break;
            }
            let probes: Vec<u64> = open.iter().map(|&index| self.probes[index]).collect();
            let places = &mut *self.places;
            let read = find_symbols(elf, table, &probes, |index, symbol| {
                name_outermost(&mut places[open[index]], &symbol, text);
            });
            if let Err(error) = read {
                match work.trouble(error) {
                    Trouble::Exhausted => break,
                    Trouble::Io(error) => {
                        self.problems.push(ProblemKind::Unreadable { file: name(elf), error });
                    }
                    Trouble::Malformed(detail) => self.malformed(elf, detail, 1),
                }
            }
        }
        best
    }
}

fn name(elf: &Elf) -> String {
    elf.path.display().to_string()
}

/// Whether the function itself, not one that was inlined into it, has no name or only half of one.
fn unnamed(place: &[Draft]) -> bool {
    place.last().is_none_or(|outermost| outermost.plain || outermost.function.is_none())
}

/// Gives the function itself the name that a symbol table has for it.
fn name_outermost(place: &mut Vec<Draft>, symbol: &str, text: &mut Text<'_>) {
    let Some(outermost) = place.last_mut() else {
        place.push(Draft { function: text.function(symbol), plain: false, file: None, line: None });
        return;
    };
    match &outermost.function {
        Some(plain) => {
            if let Some(whole) = qualified(&demangle(symbol), plain) {
                outermost.function = text.readable(&whole).or(Some(Arc::clone(plain)));
            }
        }
        None => outermost.function = text.function(symbol),
    }
    outermost.plain = false;
}

/// Makes frames of drafts. What has no name, or no room for it, gets the module's.
fn finish(module: &Module, probe: u64, place: Vec<Draft>, text: &mut Text<'_>) -> Arc<[CodeFrame]> {
    let fallback = || -> Arc<str> {
        let path = module.path.strip_suffix(" (deleted)").unwrap_or(&module.path);
        let name = Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy());
        let name = cut(&name, MODULE_NAME_MAX);
        format!("{name}+{:#x}", probe.wrapping_add(1)).into()
    };
    if place.is_empty() || !text.take_frames(place.len()) {
        return Arc::new([CodeFrame { function: fallback(), file: None, line: None }]);
    }
    let frame = |draft: Draft| CodeFrame {
        function: draft.function.unwrap_or_else(fallback),
        file: draft.file,
        line: draft.line,
    };
    place.into_iter().map(frame).collect()
}
