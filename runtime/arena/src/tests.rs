//! The arena against a model: every block is filled with its own pattern, and must still have it whenever it is looked
//! at.

extern crate std;

use super::*;
use core::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::vec::Vec;

/// Numbers that look random, the same in each run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// Mostly small, now and then beyond each boundary.
    fn size(&mut self) -> usize {
        match self.below(20) {
            0 => self.below(2 * LARGE),
            1 => LARGE - 40 + self.below(80),
            2..5 => self.below(8192),
            _ => self.below(600),
        }
    }
}

struct Block {
    content: *mut u8,
    size: usize,
    pattern: u8,
}

impl Block {
    fn fill(&mut self, pattern: u8) {
        self.pattern = pattern;
        // SAFETY: `size` bytes of this block.
        unsafe { ptr::write_bytes(self.content, pattern, self.size) };
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { core::slice::from_raw_parts(self.content, self.size) }
    }

    fn check(&self, length: usize) {
        assert!(self.bytes()[..length].iter().all(|byte| *byte == self.pattern), "a block of {} changed", self.size);
    }
}

/// In the executable, as in ours: the arena's mappings lie above it.
#[repr(align(4096))]
struct Stretch(UnsafeCell<[u8; 64 << 10]>);

// SAFETY: each test has its own.
unsafe impl Sync for Stretch {}

impl Stretch {
    const fn new() -> Self {
        Stretch(UnsafeCell::new([0; 64 << 10]))
    }

    fn range(&self) -> (usize, usize) {
        let start = self.0.get() as usize;
        (start, start + size_of::<Self>())
    }
}

#[test]
fn blocks_keep_their_content_and_do_not_overlap() {
    static STRETCH: Stretch = Stretch::new();
    let (start, end) = STRETCH.range();
    let mut arena = Arena::new();
    // SAFETY: this test's memory.
    unsafe { arena.begin(start, end) };
    let mut numbers = Numbers(0x2545_F491_4F6C_DD1D);
    let mut blocks: Vec<Block> = Vec::new();
    for round in 0..20_000 {
        let pattern = round as u8;
        match numbers.below(8) {
            0..3 => {
                let size = numbers.size();
                let zeroed = numbers.below(2) == 0;
                let content = if zeroed { arena.alloc_zeroed(size) } else { arena.alloc(size) };
                assert!(!content.is_null());
                assert_eq!(content as usize % 8, 0);
                let mut block = Block { content, size, pattern: 0 };
                if zeroed {
                    block.check(size);
                }
                // SAFETY: a block of the arena.
                assert!(unsafe { arena.usable_size(content) } >= size);
                block.fill(pattern);
                blocks.push(block);
            }
            3..6 if !blocks.is_empty() => {
                let block = blocks.swap_remove(numbers.below(blocks.len()));
                block.check(block.size);
                // SAFETY: it has left the list.
                unsafe { arena.free(block.content) };
            }
            6 if !blocks.is_empty() => {
                let index = numbers.below(blocks.len());
                let block = &mut blocks[index];
                let size = numbers.size();
                // SAFETY: the old content is not used any more.
                block.content = unsafe { arena.realloc(block.content, size) };
                let kept = block.size.min(size);
                block.size = size;
                block.check(kept);
                block.fill(pattern);
            }
            _ => {}
        }
        if round % 1000 == 0 {
            let mut ends = BTreeMap::new();
            for block in &blocks {
                block.check(block.size);
                ends.insert(block.content as usize, block.content as usize + block.size);
            }
            let all: Vec<_> = ends.into_iter().collect();
            assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].0 - HEADER));
        }
    }
}

#[test]
fn every_size_has_a_class_that_holds_it_and_wastes_a_quarter_at_most() {
    let mut known: BTreeMap<usize, usize> = BTreeMap::new();
    for size in (UNIT..=LARGE).step_by(UNIT) {
        let (class, rounded) = class_of(size);
        assert!(class < CLASSES && rounded >= size && rounded - size <= size / 4, "{size}");
        assert_eq!(rounded % UNIT, 0);
        assert_eq!(*known.entry(class).or_insert(rounded), rounded);
        assert_eq!(class_of(rounded), (class, rounded));
    }
    assert_eq!(known.len(), CLASSES);
}

#[test]
fn a_freed_block_is_used_again_and_a_frozen_one_never() {
    static STRETCH: Stretch = Stretch::new();
    let (start, end) = STRETCH.range();
    let mut arena = Arena::new();
    // SAFETY: this test's memory; its first part is frozen.
    unsafe {
        arena.begin(start + 112, end);
        let frozen = start as *mut u8;
        let other = arena.alloc(100);
        assert_eq!(arena.usable_size(frozen), 0);
        arena.free(frozen);
        arena.free(other);
        assert_eq!(arena.alloc(100), other);
        assert_ne!(arena.alloc(100), frozen);
        ptr::write_bytes(frozen, 7, 100);
        let grown = arena.realloc(frozen, 200);
        assert_eq!(*grown.add(99), 7);
        assert_eq!(*frozen, 7, "what is frozen stays as it is");
    }
}

#[test]
fn what_cannot_be_had_is_null_and_changes_nothing() {
    let mut arena = Arena::new();
    assert!(arena.alloc(usize::MAX).is_null());
    assert!(arena.alloc(usize::MAX - HEADER).is_null());
    assert!(arena.alloc(usize::MAX / 2).is_null());
    let block = arena.alloc(LARGE);
    // SAFETY: a block of the arena, which stays since there is no such memory.
    unsafe {
        ptr::write_bytes(block, 9, LARGE);
        assert!(arena.realloc(block, usize::MAX / 2).is_null());
        assert_eq!(*block.add(LARGE - 1), 9);
        arena.free(block);
    }
}
