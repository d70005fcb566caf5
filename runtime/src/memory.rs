//! The one place where the engine and Rust have their memory: a section of the executable, at a fixed address.
//!
//! In an executable with an image, the section's first part holds the engine as the build left it (image.rs); what a
//! process adds comes behind that, in pages that are zero and cost nothing until they are touched.

use arena::Arena;
use rquickjs::qjs;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::null_mut;
use std::slice;

/// Image and room behind it.
const SIZE: usize = 4 << 20;
pub const PAGE: usize = 4096;
const SPACE: usize = SIZE - size_of::<Head>();
/// In an executable without an image: how far from the place's start the bytecode lies. Behind the head, which must not
/// be larger.
const BYTECODE: usize = PAGE;
const _: () = assert!(size_of::<Head>() <= BYTECODE);

/// Where the engine is. Null before it has been made.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Roots {
    pub runtime: *mut qjs::JSRuntime,
    pub context: *mut qjs::JSContext,
    /// The function `main` of the embedded module.
    pub main: qjs::JSValue,
}

#[repr(C)]
pub struct Head {
    /// How many bytes of the space the image takes; 0: there is none.
    pub image: usize,
    /// How many bytes of bytecode lie from `BYTECODE` on, where there is no image: the build has written this word, and
    /// them.
    bytecode: usize,
    pub roots: Roots,
    arena: Arena,
}

#[repr(C, align(4096))]
struct Place {
    head: UnsafeCell<Head>,
    space: UnsafeCell<[u8; SPACE]>,
}

// SAFETY: the process has one thread.
unsafe impl Sync for Place {}

// By its name the compiler knows that it is zero and takes no room in the file, and the linker does not merge it with
// `.bss`. scripts/build/image.ts looks for that name.
#[unsafe(link_section = ".sbss.arena")]
#[used]
// SAFETY: of all of it, zero is a value: null, undefined (no tag is below it, but nobody reads it before it is set), no
// stretch.
static PLACE: Place = unsafe { std::mem::zeroed() };

/// # Safety
/// No other reference to the head may be in use.
#[inline]
pub unsafe fn head() -> &'static mut Head {
    // SAFETY: the caller's; there is one thread.
    unsafe { &mut *PLACE.head.get() }
}

pub fn has_image() -> bool {
    // SAFETY: no reference outlives the line.
    unsafe { head().image != 0 }
}

/// Start and end of the space behind the head.
pub fn space() -> (usize, usize) {
    let start = PLACE.space.get() as usize;
    (start, start + SPACE)
}

/// To be called first of all, in an executable without an image.
pub fn begin() {
    let (_, end) = space();
    // SAFETY: nothing has been allocated.
    unsafe { head().arena.begin(bytecode().as_ptr_range().end as usize, end) };
}

/// What an executable without an image evaluates.
pub fn bytecode() -> &'static [u8] {
    // SAFETY: the build has put so many bytes there; nobody writes to them but `take_bytecode`.
    unsafe { slice::from_raw_parts((&raw const PLACE).byte_add(BYTECODE).cast(), head().bytecode) }
}

/// A copy of the bytecode. Where it was there are zeros.
pub fn take_bytecode() -> Vec<u8> {
    let taken = bytecode().to_vec();
    // SAFETY: no reference to it is in use.
    unsafe { bytecode().as_ptr().cast_mut().write_bytes(0, taken.len()) };
    taken
}

/// From now on memory comes from `place`, and all that lies below stays as it is. If it is empty, from the kernel.
///
/// # Safety
/// `place` must be zero, and used by nobody else. Where it is empty no block may be in use: once freed, it would be
/// given out again.
pub unsafe fn go_on_at(place: Range<usize>) {
    // SAFETY: the caller's.
    unsafe { head().arena.begin(place.start, place.end) };
}

/// Where the executable ends in memory: the linker's word for it.
pub fn executable_end() -> usize {
    unsafe extern "C" {
        static _end: u8;
    }
    &raw const _end as usize
}

/// The head of an image of `length` bytes, as a process finds it.
pub fn image_head(length: usize) -> Head {
    let (start, end) = space();
    let mut arena = Arena::new();
    // SAFETY: only written down: the memory behind the image is zero in the process that uses it.
    unsafe {
        arena.begin(start + length, end);
        Head { image: length, bytecode: 0, roots: head().roots, arena }
    }
}

struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

/// Blocks are aligned to this.
const ALIGNED: usize = 8;

// SAFETY: the arena's blocks are alone in their memory until they are freed.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: no reference outlives the line.
        let arena = unsafe { &mut head().arena };
        if layout.align() <= ALIGNED {
            return arena.alloc(layout.size());
        }
        // Rust asks for this seldom or never: a block with room to choose from, whose own place stands before what is
        // given out.
        let Some(size) = layout.size().checked_add(layout.align() + ALIGNED) else { return null_mut() };
        let block = arena.alloc(size);
        if block.is_null() {
            return block;
        }
        let content = (block as usize + ALIGNED).next_multiple_of(layout.align());
        // SAFETY: there is room for a word before `content`, and for all of it behind.
        unsafe { ((content - ALIGNED) as *mut usize).write(block as usize) };
        content as *mut u8
    }

    unsafe fn dealloc(&self, content: *mut u8, layout: Layout) {
        // SAFETY: what `alloc` gave, with the same layout.
        unsafe {
            let block = if layout.align() <= ALIGNED { content } else { content.sub(ALIGNED).cast::<*mut u8>().read() };
            head().arena.free(block);
        }
    }

    unsafe fn realloc(&self, content: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if layout.align() <= ALIGNED {
                return head().arena.realloc(content, size);
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(content, size.min(layout.size()));
                self.dealloc(content, layout);
            }
            new
        }
    }
}

/// What the engine calls; never for null.
pub const ENGINE: qjs::JSMallocFunctions = qjs::JSMallocFunctions {
    js_calloc: Some(engine_calloc),
    js_malloc: Some(engine_malloc),
    js_free: Some(engine_free),
    js_realloc: Some(engine_realloc),
    js_malloc_usable_size: Some(engine_usable_size),
};

unsafe extern "C" fn engine_malloc(_: *mut c_void, size: u64) -> *mut c_void {
    // SAFETY: no reference outlives the line.
    unsafe { head().arena.alloc(size as usize).cast() }
}

unsafe extern "C" fn engine_calloc(_: *mut c_void, count: u64, size: u64) -> *mut c_void {
    let Some(size) = (count as usize).checked_mul(size as usize) else { return null_mut() };
    // SAFETY: as above.
    unsafe { head().arena.alloc_zeroed(size).cast() }
}

unsafe extern "C" fn engine_free(_: *mut c_void, content: *mut c_void) {
    // SAFETY: the engine frees what it got, once.
    unsafe { head().arena.free(content.cast()) }
}

unsafe extern "C" fn engine_realloc(_: *mut c_void, content: *mut c_void, size: u64) -> *mut c_void {
    // SAFETY: as above.
    unsafe { head().arena.realloc(content.cast(), size as usize).cast() }
}

unsafe extern "C" fn engine_usable_size(content: *const c_void) -> u64 {
    // SAFETY: a block of the engine's.
    unsafe { head().arena.usable_size(content.cast()) as u64 }
}
