//! An inner allocator that a signal handler may call at any instruction, and a forked child too: it has no lock.
//!
//! libc's `malloc` is neither, and then a test with signals would test libc. Blocks are powers of two, cut from one
//! mapping; free ones are a stack for each size, with a tag against ABA and the links beside the blocks. What is freed is
//! overwritten, so that whoever uses it afterwards notices.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

/// Room for all blocks together.
const BYTES: usize = 1 << 30;
const SMALLEST_BITS: u32 = 4;
/// Larger ones get a mapping each.
const LARGEST_BYTES: usize = 1 << 20;
const CLASSES: usize = (LARGEST_BYTES.ilog2() - SMALLEST_BITS) as usize + 1;
/// No block needs to be aligned to more.
const ALIGN_MAX: usize = 4096;
/// What a freed block begins and ends with.
const FREED: u8 = 0xdd;

/// See the head of this file.
pub(crate) struct Arena;

static BLOCKS: AtomicPtr<u8> = AtomicPtr::new(null_mut());
static LINKS: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());
/// Starts behind the first page: link 0 is the end of a list.
static CUT: AtomicUsize = AtomicUsize::new(ALIGN_MAX);
static FREE: [AtomicU64; CLASSES] = [const { AtomicU64::new(0) }; CLASSES];

fn map(bytes: usize) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping touches nothing that exists.
    let start = unsafe { libc::mmap(null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if start == libc::MAP_FAILED { null_mut() } else { start.cast() }
}

/// A mapping that whoever comes first makes.
fn once<T>(place: &AtomicPtr<T>, bytes: usize) -> *mut T {
    let there = place.load(Acquire);
    if !there.is_null() {
        return there;
    }
    let mine = map(bytes).cast::<T>();
    match place.compare_exchange(null_mut(), mine, AcqRel, Acquire) {
        Ok(_) => mine,
        Err(other) => {
            // SAFETY: nobody saw it.
            unsafe { libc::munmap(mine.cast(), bytes) };
            other
        }
    }
}

fn blocks() -> *mut u8 {
    once(&BLOCKS, BYTES)
}

fn link(number: u32) -> &'static AtomicU32 {
    // SAFETY: there is a link for each unit of the blocks, zero at first.
    unsafe { &*once(&LINKS, (BYTES >> SMALLEST_BITS) * 4).add(number as usize) }
}

/// `None` if it gets a mapping of its own.
fn class_of(layout: Layout) -> Option<usize> {
    let bytes = layout.size().max(layout.align()).max(1 << SMALLEST_BITS).next_power_of_two();
    (bytes <= LARGEST_BYTES).then(|| (bytes.ilog2() - SMALLEST_BITS) as usize)
}

fn bytes_of(class: usize) -> usize {
    1 << (class as u32 + SMALLEST_BITS)
}

fn tagged(head: u64, number: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(number)
}

fn take(class: usize) -> *mut u8 {
    let mut head = FREE[class].load(Acquire);
    while head as u32 != 0 {
        let next = link(head as u32).load(Relaxed);
        match FREE[class].compare_exchange(head, tagged(head, next), AcqRel, Acquire) {
            Ok(_) => return blocks().wrapping_add((head as u32 as usize) << SMALLEST_BITS),
            Err(now) => head = now,
        }
    }
    let bytes = bytes_of(class);
    let cut = |from: usize| {
        let at = from.next_multiple_of(bytes.min(ALIGN_MAX));
        (at + bytes <= BYTES).then_some(at + bytes)
    };
    match CUT.fetch_update(AcqRel, Acquire, cut) {
        Ok(from) => blocks().wrapping_add(from.next_multiple_of(bytes.min(ALIGN_MAX))),
        Err(_) => null_mut(),
    }
}

fn give_back(class: usize, block: *mut u8) {
    let number = ((block.addr() - blocks().addr()) >> SMALLEST_BITS) as u32;
    let mut head = FREE[class].load(Relaxed);
    loop {
        link(number).store(head as u32, Relaxed);
        match FREE[class].compare_exchange(head, tagged(head, number), AcqRel, Relaxed) {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

// SAFETY: blocks are disjoint, as large as their class and aligned to it or to a page; a large one is a mapping.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        assert!(layout.align() <= ALIGN_MAX, "nobody here asks for that");
        class_of(layout).map_or_else(|| map(layout.size()), take)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else {
            // SAFETY: it was mapped with this size, and is given up.
            unsafe { libc::munmap(block.cast(), layout.size()) };
            return;
        };
        // SAFETY: the whole of the class is the block's, which is given up.
        unsafe {
            block.write_bytes(FREED, 16);
            block.add(bytes_of(class) - 16).write_bytes(FREED, 16);
        }
        give_back(class, block);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: a valid size, by the caller's promise.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (class_of(layout), class_of(new)) {
            (Some(old), Some(new)) if old == new => block,
            (None, None) => {
                // SAFETY: a mapping of that size, which is given up.
                let moved =
                    unsafe { libc::mremap(block.cast(), layout.size(), new_size, libc::MREMAP_MAYMOVE) };
                if moved == libc::MAP_FAILED { null_mut() } else { moved.cast() }
            }
            // SAFETY: two different blocks, both at least this large; the old one is given up.
            _ => unsafe {
                let to = self.alloc(new);
                if !to.is_null() {
                    block.copy_to_nonoverlapping(to, layout.size().min(new_size));
                    self.dealloc(block, layout);
                }
                to
            },
        }
    }
}
