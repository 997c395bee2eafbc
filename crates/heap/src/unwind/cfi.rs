//! Reads what a compiler wrote about one function, up to one address, and says it as a [`Rule`].
//!
//! `.eh_frame` describes every register that a function saves, and needs a kilobyte for each row of it. Only
//! three things matter here: the CFA, the caller's `rbp` and the return address. Following those alone takes
//! some hundred bytes of stack, which a thread that is inside `malloc` can spare, and no time for the rest.
//!
//! Expressions are not evaluated. Four kinds of them are ever written on x86-64 for these three, and each is
//! known by its bytes; for anything else, and anything that is malformed, the rule is "stop here".

use super::bytes::Bytes;
use super::dwarf::expression::*;
use super::dwarf::op;
use super::rules::{Kind, Rule};

/// DWARF's numbers of the registers.
const RBP: u64 = 6;
const RSP: u64 = 7;
const RETURN_ADDRESS: u64 = 16;

/// How deep `DW_CFA_remember_state` may nest. Compilers use one level; each costs 72 bytes of stack.
const REMEMBERED_MAX: usize = 4;

/// What a function's description shares with others': a CIE.
struct Common<'a> {
    code_unit: u64,
    data_unit: i64,
    pointer_encoding: u8,
    has_augmentation: bool,
    program: Bytes<'a>,
}

/// A function's description: an FDE.
pub(super) struct Function<'a> {
    common: Common<'a>,
    begin: u64,
    program: Bytes<'a>,
}

/// Where a register of the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saved<'a> {
    /// Still in its register.
    Unchanged,
    /// Not anywhere.
    Undefined,
    /// That far from the CFA.
    AtCfa(i64),
    /// At the address that the expression gives.
    At(&'a [u8]),
    /// Said in a way that is not followed.
    Elsewhere,
}

#[derive(Clone, Copy, Debug)]
enum Cfa<'a> {
    Register { number: u64, offset: i64 },
    Expression(&'a [u8]),
}

/// What holds between two addresses of a function.
#[derive(Clone, Copy, Debug)]
struct Row<'a> {
    cfa: Cfa<'a>,
    bp: Saved<'a>,
    return_address: Saved<'a>,
}

/// The next record of `.eh_frame`: its body and where that begins; 64-bit lengths included.
fn record<'a>(bytes: &mut Bytes<'a>) -> Option<Bytes<'a>> {
    let length = match bytes.u32()? {
        0 => return None,
        0xffff_ffff => bytes.u64()?,
        length => u64::from(length),
    };
    bytes.split(length)
}

impl<'a> Common<'a> {
    fn read(section: Bytes<'a>, at: u64) -> Option<Self> {
        let mut bytes = section;
        bytes.skip(at)?;
        let mut body = record(&mut bytes)?;
        let is_common = body.u32()? == 0;
        let version = body.u8()?;
        if !is_common || !matches!(version, 1 | 3) {
            return None;
        }
        let length = body.rest().iter().position(|&byte| byte == 0)?;
        let augmentation = body.split(length as u64)?.rest();
        body.skip(1)?;
        let code_unit = body.unsigned()?;
        let data_unit = body.signed()?;
        let return_register = if version == 1 { u64::from(body.u8()?) } else { body.unsigned()? };
        if return_register != RETURN_ADDRESS {
            return None;
        }
        let mut pointer_encoding = 0;
        let mut has_augmentation = false;
        match augmentation {
            [] => {}
            [b'z', kinds @ ..] => {
                has_augmentation = true;
                let length = body.unsigned()?;
                let mut data = body.split(length)?;
                for kind in kinds {
                    match kind {
                        b'R' => pointer_encoding = data.u8()?,
                        b'P' => {
                            let encoding = data.u8()?;
                            data.number(encoding)?;
                        }
                        b'L' => data.skip(1)?,
                        // A signal's frame: its registers' expressions are known without this.
                        b'S' => {}
                        _ => return None,
                    }
                }
            }
            _ => return None,
        }
        Some(Self { code_unit, data_unit, pointer_encoding, has_augmentation, program: body })
    }
}

impl<'a> Function<'a> {
    /// The description that begins `at` bytes into `.eh_frame`, if it is one and has `address` in it.
    pub(super) fn read(section: Bytes<'a>, at: u64, address: u64) -> Option<Self> {
        let mut bytes = section;
        bytes.skip(at)?;
        let mut body = record(&mut bytes)?;
        let here = body.address() - section.address();
        // The common part is given by how far back it is from this field.
        let common = Common::read(section, here.checked_sub(u64::from(body.u32()?))?)?;
        let begin = body.pointer(common.pointer_encoding)?;
        let length = body.number(common.pointer_encoding)?;
        if address.wrapping_sub(begin) >= length {
            return None;
        }
        if common.has_augmentation {
            let length = body.unsigned()?;
            body.skip(length)?;
        }
        Some(Self { common, begin, program: body })
    }

    pub(super) fn begins_at(&self, address: u64) -> bool {
        self.begin == address
    }

    /// The rule that holds at `address`.
    pub(super) fn rule(&self, address: u64) -> Rule {
        self.row(address).and_then(|row| row.rule(address)).unwrap_or(Rule::STOP)
    }

    fn row(&self, address: u64) -> Option<Row<'a>> {
        let nothing = Row {
            cfa: Cfa::Register { number: u64::MAX, offset: 0 },
            bp: Saved::Unchanged,
            return_address: Saved::Elsewhere,
        };
        let initial = self.run(self.common.program, nothing, nothing, None)?;
        self.run(self.program, initial, initial, Some(address))
    }

    /// Follows a program, up to `address` if there is one, or to its end.
    fn run(
        &self,
        mut program: Bytes<'a>,
        initial: Row<'a>,
        start: Row<'a>,
        address: Option<u64>,
    ) -> Option<Row<'a>> {
        let mut row = start;
        let mut location = self.begin;
        let mut remembered = [start; REMEMBERED_MAX];
        let mut depth = 0;
        let data_unit = self.common.data_unit;
        let factored = |offset: u64| offset.cast_signed().checked_mul(data_unit);
        while !program.is_empty() {
            let instruction = program.u8()?;
            let operand = u64::from(instruction & 0x3f);
            let advance = match instruction {
                0x40..0x80 => Some(operand),
                0x80..0xc0 => {
                    let offset = program.unsigned()?;
                    row.set(operand, Saved::AtCfa(factored(offset)?));
                    None
                }
                0xc0.. => {
                    row.restore(operand, &initial);
                    None
                }
                op::ADVANCE_1 => Some(u64::from(program.u8()?)),
                op::ADVANCE_2 => Some(u64::from(program.u16()?)),
                op::ADVANCE_4 => Some(u64::from(program.u32()?)),
                op::SET_LOCATION => {
                    let next = program.pointer(self.common.pointer_encoding)?;
                    if address.is_some_and(|address| next > address) {
                        break;
                    }
                    location = next;
                    None
                }
                op::REMEMBER => {
                    *remembered.get_mut(depth)? = row;
                    depth += 1;
                    None
                }
                op::RESTORE_REMEMBERED => {
                    depth = depth.checked_sub(1)?;
                    row = remembered[depth];
                    None
                }
                _ => {
                    row.apply(instruction, &mut program, data_unit, &initial)?;
                    None
                }
            };
            if let Some(units) = advance {
                location = location.wrapping_add(units.wrapping_mul(self.common.code_unit));
                if address.is_some_and(|address| location > address) {
                    break;
                }
            }
        }
        Some(row)
    }
}

impl<'a> Row<'a> {
    fn set(&mut self, register: u64, saved: Saved<'a>) {
        match register {
            RBP => self.bp = saved,
            RETURN_ADDRESS => self.return_address = saved,
            _ => {}
        }
    }

    fn restore(&mut self, register: u64, initial: &Self) {
        match register {
            RBP => self.bp = initial.bp,
            RETURN_ADDRESS => self.return_address = initial.return_address,
            _ => {}
        }
    }

    /// An instruction that changes nothing but the row.
    fn apply(
        &mut self,
        instruction: u8,
        program: &mut Bytes<'a>,
        data_unit: i64,
        initial: &Self,
    ) -> Option<()> {
        match instruction {
            op::NOP => {}
            op::ARGUMENTS_SIZE => {
                program.unsigned()?;
            }
            op::OFFSET | op::OFFSET_SIGNED | op::OFFSET_NEGATIVE => {
                let register = program.unsigned()?;
                let offset = match instruction {
                    op::OFFSET => program.unsigned()?.cast_signed(),
                    op::OFFSET_SIGNED => program.signed()?,
                    _ => program.unsigned()?.cast_signed().checked_neg()?,
                };
                self.set(register, Saved::AtCfa(offset.checked_mul(data_unit)?));
            }
            op::RESTORE => self.restore(program.unsigned()?, initial),
            op::UNDEFINED => self.set(program.unsigned()?, Saved::Undefined),
            op::SAME => self.set(program.unsigned()?, Saved::Unchanged),
            op::REGISTER | op::VALUE_OFFSET => {
                let register = program.unsigned()?;
                program.unsigned()?;
                self.set(register, Saved::Elsewhere);
            }
            op::VALUE_OFFSET_SIGNED => {
                let register = program.unsigned()?;
                program.signed()?;
                self.set(register, Saved::Elsewhere);
            }
            op::EXPRESSION | op::VALUE_EXPRESSION => {
                let register = program.unsigned()?;
                let length = program.unsigned()?;
                let expression = program.split(length)?.rest();
                let is_address = instruction == op::EXPRESSION;
                self.set(register, if is_address { Saved::At(expression) } else { Saved::Elsewhere });
            }
            op::CFA => {
                let number = program.unsigned()?;
                self.cfa = Cfa::Register { number, offset: program.unsigned()?.cast_signed() };
            }
            op::CFA_SIGNED => {
                let number = program.unsigned()?;
                self.cfa = Cfa::Register { number, offset: program.signed()?.checked_mul(data_unit)? };
            }
            op::CFA_REGISTER | op::CFA_OFFSET | op::CFA_OFFSET_SIGNED => {
                let Cfa::Register { number, offset } = &mut self.cfa else { return None };
                match instruction {
                    op::CFA_REGISTER => *number = program.unsigned()?,
                    op::CFA_OFFSET => *offset = program.unsigned()?.cast_signed(),
                    _ => *offset = program.signed()?.checked_mul(data_unit)?,
                }
            }
            op::CFA_EXPRESSION => {
                let length = program.unsigned()?;
                self.cfa = Cfa::Expression(program.split(length)?.rest());
            }
            _ => return None,
        }
        Some(())
    }

    fn rule(&self, address: u64) -> Option<Rule> {
        if self.return_address == Saved::Undefined {
            return Some(Rule::END);
        }
        if let Cfa::Expression(expression) = self.cfa {
            return self.rule_of_expression(expression, address);
        }
        let Cfa::Register { number, offset } = self.cfa else { return None };
        let kind = match number {
            RSP => Kind::FromSp,
            RBP => Kind::FromBp,
            _ => return None,
        };
        self.rule_of_register(kind, offset)
    }

    fn rule_of_register(&self, kind: Kind, offset: i64) -> Option<Rule> {
        let slot = match self.bp {
            Saved::Unchanged | Saved::Undefined => None,
            Saved::AtCfa(offset) if offset % 8 == 0 => Some(-(offset / 8)),
            _ => return None,
        };
        if self.return_address != Saved::AtCfa(-8) {
            return None;
        }
        Rule::from_register(kind, offset, slot)
    }

    fn rule_of_expression(&self, expression: &'a [u8], address: u64) -> Option<Rule> {
        match *expression {
            // The entries of a procedure linkage table, 16 bytes each: the CFA is `rsp + 8`, and 8 more from
            // the entry's byte `from` on, where it has pushed its number. The address is the cache's key, so
            // that is one of two plain rules.
            [BREG_RSP, 8, BREG_RIP, 0, LIT_15, AND, from @ LIT_0..=LIT_15, GE, LIT_3, SHL, PLUS] => {
                let pushed = (address & 15) as u8 >= from - LIT_0;
                self.rule_of_register(Kind::FromSp, if pushed { 16 } else { 8 })
            }
            // A function of gcc's that aligned its stack keeps its CFA in a word below its `rbp`.
            [BREG_RBP, ref offset @ .., DEREF] => {
                let mut offset = Bytes::new(offset, 0);
                let bytes = offset.signed()?;
                let usual = offset.is_empty()
                    && self.bp == Saved::At(&[BREG_RBP, 0])
                    && self.return_address == Saved::AtCfa(-8);
                if usual { Rule::at_bp(bytes) } else { None }
            }
            // The kernel's frame of a signal, as glibc describes it.
            [BREG_RSP, 0xa0, 0x01, DEREF] => {
                const { assert!(signal::SP == 0x20 + 0x80 && signal::IP == 0x28 + 0x80) };
                let usual = self.bp == Saved::At(&[BREG_RSP, 0xf8, 0x00])
                    && self.return_address == Saved::At(&[BREG_RSP, 0xa8, 0x01]);
                usual.then_some(Rule::SIGNAL)
            }
            _ => None,
        }
    }
}

/// Where the kernel puts the registers of a function that a signal interrupts: how far above the `rsp` of
/// the frame to which the handler returns. Part of the system's binary interface (`ucontext_t`).
pub(super) mod signal {
    pub(in super::super) const BP: usize = 120;
    pub(in super::super) const SP: usize = 160;
    pub(in super::super) const IP: usize = 168;
}
