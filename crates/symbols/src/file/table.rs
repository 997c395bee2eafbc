//! Functions from the symbol tables, for what has no debug information. The table is read once from beginning
//! to end, and of its entries only the best for each wanted address is kept.

use gimli::{Error, Reader};

use super::Elf;

const ENTRY: u64 = 24;
const NO_TYPE: u8 = 0;
const FUNCTION: u8 = 2;
const INDIRECT_FUNCTION: u8 = 10;
const GLOBAL: u8 = 1;

/// Which symbol an address belongs to.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    /// Where its name is in the table's strings.
    name: u32,
    start: u64,
    /// Among names of the same start: exported ones first, then the order of the table.
    rank: u8,
    covers: bool,
}

impl Symbol {
    fn better_than(&self, other: &Option<Self>) -> bool {
        other.is_none_or(|other| {
            (self.start, std::cmp::Reverse(self.rank)) > (other.start, std::cmp::Reverse(other.rank))
        })
    }
}

/// The names of the functions at `probes`, which are sorted; `None` for each that no symbol covers.
///
/// A symbol without a size counts as far as the next one, within its section. Allocates two entries for each
/// probe, and the names.
///
/// # Errors
/// When the table cannot be read to its end; `found` then has what was found.
pub(crate) fn find_symbols(
    elf: &Elf,
    table: &str,
    probes: &[u64],
    mut found: impl FnMut(usize, String),
) -> Result<(), Error> {
    let Some((mut symbols, strings)) = elf.symbols(table) else { return Ok(()) };
    let mut best: Vec<Option<Symbol>> = vec![None; probes.len()];
    // The last symbol that begins before each probe and after the one before it.
    let mut nearest = best.clone();
    let mut result = Ok(());
    while symbols.len() >= ENTRY {
        let mut entry = [0; ENTRY as usize];
        if let Err(error) = symbols.read_slice(&mut entry) {
            result = Err(error);
            break;
        }
        let Some((symbol, size)) = function(&entry) else { continue };
        let first = probes.partition_point(|&probe| probe < symbol.start);
        if let Some(nearest) = nearest.get_mut(first)
            && symbol.better_than(nearest)
        {
            *nearest = Some(symbol);
        }
        let end = symbol.start.saturating_add(size);
        for (probe, best) in probes.iter().zip(&mut best).skip(first) {
            if *probe >= end {
                break;
            }
            // Symbols that lie about their size could have each pass over all probes.
            if let Err(error) = symbols.work().spend(1) {
                result = Err(error);
                break;
            }
            if symbol.better_than(best) {
                *best = Some(symbol);
            }
        }
    }
    let mut before = None;
    for (index, (best, nearest)) in best.into_iter().zip(nearest).enumerate() {
        before = nearest.or(before);
        // The end of the program is a symbol without a size, too.
        let unsized_one =
            before.filter(|symbol| !symbol.covers && elf.same_code(symbol.start, probes[index]));
        if let Some(symbol) = best.or(unsized_one) {
            let name = strings.part(u64::from(symbol.name), u64::MAX).zero_terminated(64 << 10)?;
            if !name.is_empty() {
                found(index, name);
            }
        }
    }
    result
}

/// An entry that is a defined function, with its size.
fn function(entry: &[u8; ENTRY as usize]) -> Option<(Symbol, u64)> {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&entry[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let head = word(0);
    let (name, info, section) = (head as u32, (head >> 32) as u8, (head >> 48) as u16);
    let (start, size) = (word(8), word(16));
    let (kind, binding) = (info & 0xf, info >> 4);
    let is_function = match kind {
        FUNCTION | INDIRECT_FUNCTION => true,
        // Assembly says no type; local labels of that kind are marks, not functions.
        NO_TYPE => size > 0 || binding == GLOBAL,
        _ => false,
    };
    // Not defined here, or a plain number and no place (0xfff1).
    if !is_function || section == 0 || section == 0xfff1 || start == 0 {
        return None;
    }
    let rank = match binding {
        GLOBAL => 0,
        2 => 1,
        _ => 2,
    };
    Some((Symbol { name, start, rank, covers: size > 0 }, size))
}
