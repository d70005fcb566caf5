//! Memory for the engine and for Rust: one stretch that new blocks are cut from, then more stretches by mmap(2).
//!
//! A verb makes some thousand small blocks and ends. So a block is found in a few instructions, a freed one goes to the
//! list of its size and is never merged with its neighbours, and nothing goes back to the kernel but blocks beyond
//! `LARGE`. What lies below the first stretch is frozen (the heap image): its blocks have no header, and are left alone
//! when they are freed: writing into them would cost a page each.
//!
//! Nothing is locked: the process has one thread, and no signal handler allocates.

#![no_std]

use core::ptr::{self, null_mut};

/// What stands before a block: its size, header included, a multiple of `UNIT`; `MAPPED` is set for a mapping of its
/// own, whose size is the mapping's.
const HEADER: usize = size_of::<usize>();
const UNIT: usize = 16;
const MAPPED: usize = 1;

/// Blocks up to here have lists 16 bytes apart, larger ones four lists to a doubling.
const FINE: usize = 1024;
const FINE_CLASSES: usize = FINE / UNIT;
/// Blocks beyond this are mappings of their own, which end when they are freed.
pub const LARGE: usize = 256 << 10;
const CLASSES: usize = FINE_CLASSES + 4 * (LARGE / FINE).trailing_zeros() as usize;

/// What is asked of the kernel when a stretch is used up.
const STRETCH: usize = 1 << 20;
/// Most calls need less than this. Who needs more gets the pages of as much again at once, instead of a fault for each.
const STEP: usize = 256 << 10;

#[repr(C)]
pub struct Arena {
    /// Where the next new block starts, up to where blocks may be cut now, and where the stretch ends. What lies
    /// between has never been used: it is zero.
    next: usize,
    end: usize,
    limit: usize,
    /// Where the first stretch starts.
    start: usize,
    /// First free block of each size; each holds the next one's place where its content was.
    free: [usize; CLASSES],
}

/// The size of a block for `content` bytes, header included. None: there is no such block.
#[inline]
fn block_size(content: usize) -> Option<usize> {
    Some(content.max(HEADER).checked_add(HEADER + UNIT - 1)? & !(UNIT - 1))
}

/// List and size of the blocks that hold `size` bytes, which are at most `LARGE`.
#[inline]
fn class_of(size: usize) -> (usize, usize) {
    if size <= FINE {
        return ((size - 1) / UNIT, size);
    }
    // Of 1025 to 2048: steps of 256.
    let step = 1 << (usize::BITS - 1 - (size - 1).leading_zeros() - 2);
    let doubling = (step / (FINE / 4)).trailing_zeros() as usize;
    let rounded = (size + step - 1) & !(step - 1);
    (FINE_CLASSES + 4 * doubling + (rounded / step - 5), rounded)
}

/// Makes a block at `start`, with `size` in its header; returns its content.
///
/// # Safety
/// The memory must be free, and `start` a multiple of 16.
#[inline]
unsafe fn place(start: usize, size: usize) -> *mut u8 {
    let header = start as *mut usize;
    // SAFETY: the caller says that it is free.
    unsafe {
        header.write(size);
        header.add(1).cast()
    }
}

impl Arena {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Arena { next: 0, end: 0, limit: 0, start: 0, free: [0; CLASSES] }
    }

    /// Takes new blocks from `start` on; all that lies below is frozen.
    ///
    /// # Safety
    /// The memory from `start` to `end` must be zero and nobody else's, for as long as the arena is used.
    pub unsafe fn begin(&mut self, start: usize, end: usize) {
        let next = start.next_multiple_of(UNIT);
        let first = end.min(next.next_multiple_of(PAGE).saturating_add(STEP));
        *self = Arena { next, end: first, limit: end, start, ..Arena::new() };
    }

    /// At least `content` bytes, at a multiple of 8. Null: there is no memory.
    #[inline]
    pub fn alloc(&mut self, content: usize) -> *mut u8 {
        self.take(content).0
    }

    /// The same, all zero.
    #[inline]
    pub fn alloc_zeroed(&mut self, content: usize) -> *mut u8 {
        let (block, is_zero) = self.take(content);
        if !block.is_null() && !is_zero {
            // SAFETY: a block of at least `content` bytes.
            unsafe { ptr::write_bytes(block, 0, content) };
        }
        block
    }

    /// The block's content, and whether it has never been used.
    #[inline]
    fn take(&mut self, content: usize) -> (*mut u8, bool) {
        let Some(size) = block_size(content) else { return (null_mut(), false) };
        if size > LARGE {
            return (self.map_block(content), true);
        }
        let (class, size) = class_of(size);
        let first = self.free[class];
        if first != 0 {
            let block = first as *mut usize;
            // SAFETY: a free block of ours, which holds the place of the next one.
            self.free[class] = unsafe { block.read() };
            return (block.cast(), false);
        }
        if self.end.wrapping_sub(self.next) < size && !self.grow(size) {
            return (null_mut(), false);
        }
        let start = self.next;
        self.next += size;
        // SAFETY: the stretch has that much left, and nobody has it yet.
        (unsafe { place(start, size) }, true)
    }

    /// Room for `size` bytes, which are at most a class above `LARGE`.
    #[cold]
    fn grow(&mut self, size: usize) -> bool {
        while self.end.wrapping_sub(self.next) < size {
            if self.end < self.limit {
                let end = self.limit.min(self.end + STEP);
                populate(self.end, end);
                self.end = end;
                continue;
            }
            let Some(start) = self.map(STRETCH) else { return false };
            // The rest of the old stretch is smaller than one block, and forgotten.
            (self.next, self.end, self.limit) = (start, start, start + STRETCH);
        }
        true
    }

    #[inline]
    fn is_frozen(&self, content: *const u8) -> bool {
        (content as usize) < self.start
    }

    /// How many bytes the block of `content` holds, if anybody knows: 0 for a frozen one.
    ///
    /// # Safety
    /// `content` must be what this arena gave, or frozen.
    #[inline]
    pub unsafe fn usable_size(&self, content: *const u8) -> usize {
        if self.is_frozen(content) {
            return 0;
        }
        // SAFETY: a header stands before every other content.
        (unsafe { content.sub(HEADER).cast::<usize>().read() } & !MAPPED) - HEADER
    }

    /// # Safety
    /// `content` must be what this arena gave, or frozen, and be used no more.
    #[inline]
    pub unsafe fn free(&mut self, content: *mut u8) {
        if self.is_frozen(content) {
            return;
        }
        let place = content as usize;
        // SAFETY: a block of ours: its header stands before it, and its content is free for the list.
        unsafe {
            let size = content.sub(HEADER).cast::<usize>().read();
            if size & MAPPED != 0 {
                libc::munmap(content.sub(HEADER).cast(), size & !MAPPED);
                return;
            }
            let (class, _) = class_of(size);
            content.cast::<usize>().write(self.free[class]);
            self.free[class] = place;
        }
    }

    /// `content` with room for `size` bytes; it may move. Null: there is no memory, and `content` is as it was.
    ///
    /// # Safety
    /// As for `free`.
    #[inline]
    pub unsafe fn realloc(&mut self, content: *mut u8, size: usize) -> *mut u8 {
        if self.is_frozen(content) {
            return self.copy_frozen(content, size);
        }
        // SAFETY: the caller's.
        let had = unsafe { self.usable_size(content) };
        // A block that would be far too large is changed, too: strings are made with room to grow, and then cut.
        if size <= had && (had <= LARGE || size > had / 2) {
            return content;
        }
        // SAFETY: as above.
        if let Some(moved) = unsafe { remap_block(content, size) } {
            return moved;
        }
        let new = self.alloc(size);
        if !new.is_null() {
            // SAFETY: both blocks hold that much, and the old one is given up after the copy.
            unsafe {
                ptr::copy_nonoverlapping(content, new, had.min(size));
                self.free(content);
            }
        }
        new
    }

    /// Nobody knows where a frozen block ends: what is copied behind its end is never looked at, as in any new block.
    #[cold]
    fn copy_frozen(&mut self, content: *const u8, size: usize) -> *mut u8 {
        let new = self.alloc(size);
        if !new.is_null() {
            // SAFETY: all of it can be read up to the end of what is frozen, and `new` holds `size` bytes.
            unsafe { ptr::copy_nonoverlapping(content, new, size.min(self.start - content as usize)) };
        }
        new
    }

    /// A new mapping: the kernel has them above the executable. None: there is no memory, or it would count as frozen.
    fn map(&self, length: usize) -> Option<usize> {
        let (kind, access) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(null_mut(), length, access, kind, -1, 0) };
        (start != libc::MAP_FAILED && start as usize >= self.start).then_some(start as usize)
    }

    fn map_block(&self, content: usize) -> *mut u8 {
        let Some(length) = mapped_length(content) else { return null_mut() };
        // SAFETY: the mapping has room for the header.
        self.map(length).map_or(null_mut(), |start| unsafe { place(start, length | MAPPED) })
    }
}

const PAGE: usize = 4096;

/// Asks for the pages between. Kernels before 5.14 do not know this, and where it fails they come one by one.
fn populate(start: usize, end: usize) {
    let start = start & !(PAGE - 1);
    // SAFETY: the memory is the arena's; its content stays as it is.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_POPULATE_WRITE) };
}

fn mapped_length(content: usize) -> Option<usize> {
    Some(content.checked_add(HEADER + PAGE - 1)? & !(PAGE - 1))
}

/// A mapping of its own in another size. None: it is none, should be none, or there is no memory.
///
/// # Safety
/// `content` must be a block.
unsafe fn remap_block(content: *mut u8, size: usize) -> Option<*mut u8> {
    // SAFETY: its header says what it is; the kernel moves what was in it.
    unsafe {
        let had = content.sub(HEADER).cast::<usize>().read();
        if had & MAPPED == 0 || size <= LARGE {
            return None;
        }
        let length = mapped_length(size)?;
        let moved = libc::mremap(content.sub(HEADER).cast(), had & !MAPPED, length, libc::MREMAP_MAYMOVE);
        (moved != libc::MAP_FAILED).then(|| place(moved as usize, length | MAPPED))
    }
}

#[cfg(test)]
mod tests;
