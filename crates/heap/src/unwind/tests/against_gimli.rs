//! Every rule of every function that is loaded, against `gimli`'s reading of the same bytes.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EndianSlice, LittleEndian, RegisterRule, UnwindContext, UnwindSection,
    UnwindTableRow, X86_64,
};

use super::refreshed;
use crate::unwind::published::with_modules;
use crate::unwind::rules::{Kind, Rule};
use crate::unwind::table::Table;

type Slice = EndianSlice<'static, LittleEndian>;

/// The rule that follows from a row, said with other words than in `cfi`.
fn expected(row: &UnwindTableRow<usize>, frames: &EhFrame<Slice>, address: u64) -> Option<Rule> {
    let return_address = row.register(X86_64::RA)?;
    let bp = row.register(X86_64::RBP).unwrap_or(RegisterRule::SameValue);
    let bytes = |expression: &gimli::UnwindExpression<usize>| Some(expression.get(frames).ok()?.0.slice());
    let slot = match &bp {
        RegisterRule::Undefined | RegisterRule::SameValue => Some(None),
        RegisterRule::Offset(offset) if offset % 8 == 0 => Some(Some(-offset / 8)),
        _ => None,
    };
    let usual = return_address == RegisterRule::Offset(-8);
    match row.cfa() {
        _ if return_address == RegisterRule::Undefined => Some(Rule::END),
        CfaRule::RegisterAndOffset { register, offset } if usual => match *register {
            X86_64::RSP => Rule::from_register(Kind::FromSp, *offset, slot?),
            X86_64::RBP => Rule::from_register(Kind::FromBp, *offset, slot?),
            _ => None,
        },
        CfaRule::Expression(expression) => match (bytes(expression)?, &bp) {
            (&[0x77, 8, 0x80, 0, 0x3f, 0x1a, at, 0x2a, 0x33, 0x24, 0x22], _) if usual => {
                let pushed = address % 16 >= u64::from(at & 15);
                Rule::from_register(Kind::FromSp, if pushed { 16 } else { 8 }, slot?)
            }
            (&[0x76, offset @ 0x40..0x80, 6], RegisterRule::Expression(bp))
                if usual && bytes(bp)? == [0x76, 0] =>
            {
                Rule::at_bp(i64::from(offset) - 0x80)
            }
            (&[0x77, 0xa0, 1, 6], RegisterRule::Expression(_)) => Some(Rule::SIGNAL),
            _ => None,
        },
        _ => None,
    }
}

/// Compares all rows of a table. Gives how many there were, and for how many there is no rule.
fn compare(table: &Table) -> (usize, usize) {
    let (header, header_at, frames, frames_at) = table.parts();
    let section = EhFrame::new(frames, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(frames_at).set_eh_frame_hdr(header_at);
    let mut context = UnwindContext::new();
    let (mut rows_seen, mut without) = (0, 0);
    for entry in header[12..].as_chunks::<8>().0 {
        let field = |at: usize| i32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        let at = header_at.wrapping_add_signed(i64::from(field(4))) - frames_at;
        let function = section
            .fde_from_offset(&bases, gimli::EhFrameOffset(at as usize), EhFrame::cie_from_offset)
            .expect("the linker wrote it");
        let mut rows = function.rows(&section, &bases, &mut context).expect("the compiler wrote it");
        while let Some(row) = rows.next_row().expect("the compiler wrote it") {
            let (begin, end) = (row.start_address(), row.end_address());
            if begin >= end {
                continue;
            }
            for address in [begin, begin + (end - begin) / 2, end - 1] {
                let rule = expected(row, &section, address).unwrap_or(Rule::STOP);
                assert_eq!(table.rule(address), Some(rule), "at {address:#x}, {row:?}");
                without += usize::from(rule == Rule::STOP);
                rows_seen += 1;
            }
        }
    }
    (rows_seen, without)
}

#[test]
fn every_loaded_function() {
    refreshed();
    let per_module = with_modules(|modules| {
        let of_module =
            |(module, table): (&plimsoll_core::heap::Module, Table)| (module.path.clone(), compare(&table));
        modules.tables().map(of_module).collect::<Vec<_>>()
    });
    let per_module = per_module.expect("the list was read");
    let (rows, without) =
        per_module.iter().fold((0, 0), |sum, (_, (rows, without))| (sum.0 + rows, sum.1 + without));
    // The program, the C library, libgcc, the loader, the kernel's.
    assert!(per_module.len() >= 4 && rows > 50_000, "{per_module:?}");
    assert!(without * 100 < rows, "{per_module:?}");
}
