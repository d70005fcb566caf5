//! The engine's memory: dlmalloc, which takes it from the kernel in large steps. A verb makes thousands of small blocks and
//! ends; musl's own allocator asks the kernel 45 times for the same.

use dlmalloc::Dlmalloc;
use rquickjs::allocator::Allocator;
use std::ptr::null_mut;

/// One mmap(2) for every verb; what is not touched costs nothing.
const STEP: usize = 2 << 20;
/// Before each block, how many bytes it has: dlmalloc knows, but does not tell.
const HEADER: usize = size_of::<usize>();

/// The engine has it to itself, so that nothing is locked.
pub struct Heap(Dlmalloc);

impl Heap {
    pub fn new() -> Self {
        let mut memory = Dlmalloc::new();
        memory.set_granularity(STEP);
        Heap(memory)
    }
}

/// Writes the header of a block for `size` bytes, and returns what follows it.
unsafe fn furnish(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        return block;
    }
    // SAFETY: the block has room for a header, and is aligned for it.
    unsafe {
        block.cast::<usize>().write(size);
        block.add(HEADER)
    }
}

// SAFETY: blocks of dlmalloc are aligned to two words, so what follows a header of one word is aligned to a word.
unsafe impl Allocator for Heap {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        let Some(total) = size.checked_add(HEADER) else { return null_mut() };
        // SAFETY: any size is allowed.
        unsafe { furnish(self.0.c_malloc(total), size) }
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let Some(size) = count.checked_mul(size) else { return null_mut() };
        let Some(total) = size.checked_add(HEADER) else { return null_mut() };
        // SAFETY: any size is allowed.
        unsafe { furnish(self.0.calloc(total, HEADER), size) }
    }

    unsafe fn dealloc(&mut self, content: *mut u8) {
        // SAFETY: the caller passes what `alloc` gave, once: its block starts a header before.
        unsafe { self.0.c_free(content.sub(HEADER)) };
    }

    unsafe fn realloc(&mut self, content: *mut u8, size: usize) -> *mut u8 {
        let Some(total) = size.checked_add(HEADER) else { return null_mut() };
        // SAFETY: as in `dealloc`; a null `content` is no block.
        unsafe {
            let block = if content.is_null() { content } else { content.sub(HEADER) };
            furnish(self.0.c_realloc(block, total), size)
        }
    }

    unsafe fn usable_size(content: *mut u8) -> usize {
        // SAFETY: as in `dealloc`.
        unsafe { content.sub(HEADER).cast::<usize>().read() }
    }
}
