//! What no compiler and no linker would write: the walk may end early, and must end.

use std::ops::Range;

use super::{Random, Registers, refreshed, walk};
use crate::unwind::bytes::Bytes;
use crate::unwind::cfi::Function;
use crate::unwind::published::with_modules;
use crate::unwind::rules::{self, Kind, Rule};

/// Where there is code.
fn code() -> Vec<Range<u64>> {
    let modules = with_modules(|modules| modules.to_core()).expect("the list was read");
    modules.into_iter().map(|module| module.addresses).collect()
}

/// Stacks of random words, addresses of code and addresses of the stack itself; registers likewise, in range
/// and out of it, aligned and not.
#[test]
fn registers_and_stacks() {
    refreshed();
    let code = code();
    let mut random = Random(42);
    let mut stack = vec![0_u64; 512];
    let mut out = [0; 64];
    let mut deep = 0;
    for _ in 0..20_000 {
        let start = stack.as_ptr().expose_provenance();
        let range = start..start + stack.len() * 8;
        let any = |random: &mut Random| match random.below(8) {
            0 => random.next(),
            1 => random.next() >> random.below(64),
            2..5 => {
                let module = &code[random.below(code.len())];
                module.start + random.next() % (module.end - module.start)
            }
            5 => (start + random.below(range.len())) as u64,
            _ => (start + random.below(range.len() / 8) * 8) as u64,
        };
        for _ in 0..64 {
            let at = random.below(stack.len());
            stack[at] = any(&mut random);
        }
        let mut registers = Registers {
            ip: any(&mut random) as usize,
            sp: any(&mut random) as usize,
            bp: any(&mut random) as usize,
        };
        if random.below(2) == 0 {
            registers.sp = start + random.below(range.len() / 16) * 8;
        }
        let (low, high) = (random.below(200) * 4, random.below(300) * 8);
        let range = range.start + low..range.end - high;
        let room = random.below(out.len());
        // SAFETY: the range is a part of the vector.
        let walked = unsafe { walk(registers, range, &mut out[..room]) };
        assert!(walked.depth <= room);
        deep += usize::from(walked.depth > 0);
    }
    // Some of it led somewhere, or nothing was tried.
    assert!(deep > 1000, "{deep}");
}

/// The tables of the program with bytes of them changed.
#[test]
fn tables() {
    refreshed();
    let table = with_modules(|modules| modules.tables().next().map(|(_, table)| table)).flatten();
    let (header, header_at, frames, frames_at) = table.expect("the program has one").parts();
    let mut frames = frames[..frames.len().min(64 << 10)].to_vec();
    let mut random = Random(7);
    let entries = header[12..].as_chunks::<8>().0;
    for round in 0..20_000 {
        let entry = entries[random.below(entries.len())];
        let field = |at: usize| i32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        let at = header_at.wrapping_add_signed(i64::from(field(4))).wrapping_sub(frames_at);
        let at = if at < frames.len() as u64 { at } else { random.next() % frames.len() as u64 };
        let address = header_at.wrapping_add_signed(i64::from(field(0))) + random.next() % 64;
        let length = random.below(frames.len() + 1);
        let section = Bytes::new(if round % 5 == 0 { &frames[..length] } else { &frames }, frames_at);
        if let Some(function) = Function::read(section, at, address) {
            std::hint::black_box(function.rule(address));
        }
        let place = random.below(64);
        if let Some(byte) = frames.get_mut(at as usize + place) {
            *byte = random.next() as u8;
        }
    }
}

#[test]
fn numbers() {
    let read = |bytes: &[u8]| (Bytes::new(bytes, 0).unsigned(), Bytes::new(bytes, 0).signed());
    assert_eq!(read(&[]), (None, None));
    assert_eq!(read(&[0x80]), (None, None));
    assert_eq!(read(&[0x7f]), (Some(127), Some(-1)));
    assert_eq!(read(&[0x78]), (Some(120), Some(-8)));
    assert_eq!(read(&[0xf8, 0]), (Some(120), Some(120)));
    assert_eq!(read(&[0xff; 11]), (None, None));
    let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(read(&longest), (Some(u64::MAX), Some(-1)));
    assert_eq!(Bytes::new(&[0xfc, 0xff, 0xff, 0xff], 100).pointer(0x1b), Some(96));
    assert_eq!(Bytes::new(&[0xfc], 100).pointer(0xff), None);
}

#[test]
fn rules_fit_or_are_refused() {
    let rule = |offset, slot| Rule::from_register(Kind::FromSp, offset, slot);
    for (offset, slot) in [(8, None), (16, Some(2)), (1 << 25, Some(15)), ((1 << 26) - 8, None)] {
        let rule = rule(offset, slot).expect("it fits");
        assert_eq!(rule.kind(), Kind::FromSp);
        assert_eq!((rule.offset() as i64, rule.bp_below() as i64), (offset, slot.unwrap_or(0) * 8));
    }
    for (offset, slot) in [
        (0, None),
        (-8, None),
        (12, None),
        (1 << 26, None),
        (8, Some(1)),
        (8, Some(0)),
        (8, Some(16)),
        (8, Some(-1)),
    ] {
        assert_eq!(rule(offset, slot), None);
    }
    for offset in [-8, -40, 0, 64, -(1 << 25)] {
        assert_eq!(Rule::at_bp(offset).map(Rule::at_bp_offset), Some(offset as isize));
    }
    assert_eq!(Rule::at_bp(-9), None);
    assert_eq!(Rule::at_bp(1 << 40), None);
}

/// An address is never answered with another's rule, however many there are.
#[test]
fn remembered_rules_are_those_of_the_address() {
    let mut random = Random(3);
    // Where no module is, so that nobody else's addresses meet these.
    let addresses: Vec<u64> = (0..rules::PLACES).map(|_| (1 << 40) + random.next() % (1 << 30)).collect();
    let of = |address: u64| {
        let offset = (address % 1000 + 1).cast_signed() * 8;
        Rule::from_register(Kind::FromBp, offset, None).expect("it fits")
    };
    let fits = |address: u64| [of(address), Rule::NOTHING].contains(&rules::remembered(address));
    // Another test may have everything forgotten at any time.
    let kept_most = (0..50).any(|_| {
        for &address in &addresses {
            rules::remember(address, of(address), rules::since());
            assert!(fits(address));
        }
        assert!(addresses.iter().all(|&address| fits(address)));
        let kept = addresses.iter().filter(|&&address| rules::remembered(address) == of(address)).count();
        kept > addresses.len() / 2
    });
    assert!(kept_most);
    for beyond in [1 << 47, u64::MAX, (1 << 63) + 5] {
        rules::remember(beyond, Rule::END, rules::since());
        assert_eq!(rules::remembered(beyond), Rule::NOTHING);
    }
}
