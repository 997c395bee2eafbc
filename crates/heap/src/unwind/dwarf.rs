//! The numbers of DWARF that are met in `.eh_frame`, by the names that `cfi` has for them.
//!
//! They are apart so that what is done about them can be read without them.

/// Those of expressions.
pub(super) mod expression {
    pub(in super::super) const BREG_RBP: u8 = 0x76;
    pub(in super::super) const BREG_RSP: u8 = 0x77;
    pub(in super::super) const BREG_RIP: u8 = 0x80;
    pub(in super::super) const LIT_0: u8 = 0x30;
    pub(in super::super) const LIT_3: u8 = 0x33;
    pub(in super::super) const LIT_15: u8 = 0x3f;
    pub(in super::super) const AND: u8 = 0x1a;
    pub(in super::super) const GE: u8 = 0x2a;
    pub(in super::super) const SHL: u8 = 0x24;
    pub(in super::super) const PLUS: u8 = 0x22;
    pub(in super::super) const DEREF: u8 = 0x06;
}

/// The call frame instructions whose operand is not in the instruction's own byte.
pub(super) mod op {
    pub(in super::super) const NOP: u8 = 0x00;
    pub(in super::super) const SET_LOCATION: u8 = 0x01;
    pub(in super::super) const ADVANCE_1: u8 = 0x02;
    pub(in super::super) const ADVANCE_2: u8 = 0x03;
    pub(in super::super) const ADVANCE_4: u8 = 0x04;
    pub(in super::super) const OFFSET: u8 = 0x05;
    pub(in super::super) const RESTORE: u8 = 0x06;
    pub(in super::super) const UNDEFINED: u8 = 0x07;
    pub(in super::super) const SAME: u8 = 0x08;
    pub(in super::super) const REGISTER: u8 = 0x09;
    pub(in super::super) const REMEMBER: u8 = 0x0a;
    pub(in super::super) const RESTORE_REMEMBERED: u8 = 0x0b;
    pub(in super::super) const CFA: u8 = 0x0c;
    pub(in super::super) const CFA_REGISTER: u8 = 0x0d;
    pub(in super::super) const CFA_OFFSET: u8 = 0x0e;
    pub(in super::super) const CFA_EXPRESSION: u8 = 0x0f;
    pub(in super::super) const EXPRESSION: u8 = 0x10;
    pub(in super::super) const OFFSET_SIGNED: u8 = 0x11;
    pub(in super::super) const CFA_SIGNED: u8 = 0x12;
    pub(in super::super) const CFA_OFFSET_SIGNED: u8 = 0x13;
    pub(in super::super) const VALUE_OFFSET: u8 = 0x14;
    pub(in super::super) const VALUE_OFFSET_SIGNED: u8 = 0x15;
    pub(in super::super) const VALUE_EXPRESSION: u8 = 0x16;
    pub(in super::super) const ARGUMENTS_SIZE: u8 = 0x2e;
    pub(in super::super) const OFFSET_NEGATIVE: u8 = 0x2f;
}
