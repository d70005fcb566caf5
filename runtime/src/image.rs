//! The heap image: the engine, made once by the build, as a part of the executable.
//!
//! `scripts/build/image.ts` runs the linked executable twice in ways that an executable with an image does not know:
//!
//!     berth --image-trace TRACE [APPLET ...]
//!         make the engine with every block on pages of its own, run the applet (without one: touch all shapes of
//!         objects), and note which blocks are alive, read and written
//!     berth --image PLAN IMAGE
//!         make the engine with its blocks where PLAN says, and write head and blocks
//!
//! The engine makes the same blocks in the same order each time, so a block is known by its number. In a trace they
//! start where no access is allowed; each access that the kernel refuses is noted, then allowed.

use crate::end::{BUG, exit_now, say};
use crate::{engine, memory};
use rquickjs::qjs;
use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::mem::zeroed;
use std::ops::Range;
use std::ptr::null_mut;
use std::{fs, slice};

/// Virtual memory only; what is not touched costs nothing. Always at the same place: the engine hashes addresses, and
/// which blocks a call looks at depends on them. A place that does not look like two small numbers side by side.
const REGION_START: usize = 0x5A5A_0000_0000;
const REGION: usize = 1 << 30;
const REGION_END: usize = REGION_START + REGION;
const PAGE: usize = memory::PAGE;
/// Blocks are aligned to this, as those of the arena are.
const ALIGNED: usize = 8;
/// Most blocks that a trace has room for.
const MOST_BLOCKS: usize = 1 << 20;
/// In a plan: the block is not alive at the end.
const DEAD: u32 = u32::MAX;

const ALIVE: u32 = 1;
const READ: u32 = 2;
const WRITTEN: u32 = 4;

/// One block in a trace: its size, and what is known of it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Traced {
    size: u32,
    flags: u32,
}

/// One block in a plan: where in the space it goes, or DEAD.
#[derive(Clone, Copy)]
struct Planned {
    offset: u32,
    size: u32,
}

/// Gives the engine its blocks while it is made. None is used twice, so that all are zero.
struct Maker {
    /// End of what is used of the region.
    top: usize,
    count: usize,
    /// Of each block, by its place: blocks of an image have no header.
    sizes: BTreeMap<usize, usize>,
    kind: Kind,
}

enum Kind {
    /// Every block on pages of its own.
    Trace { blocks: &'static mut [Traced], pages: Vec<Page> },
    /// Blocks that die go to the region, the others into the image.
    Plan(Vec<Planned>),
}

#[derive(Clone, Copy)]
struct Page {
    /// Number of its block.
    owner: u32,
    is_readable: bool,
}

struct Shared(UnsafeCell<Option<Maker>>);

// SAFETY: the process has one thread.
unsafe impl Sync for Shared {}

static MAKER: Shared = Shared(UnsafeCell::new(None));

/// Whoever makes the engine.
fn maker() -> &'static mut Maker {
    // SAFETY: one thread, and no caller keeps the reference.
    unsafe { (*MAKER.0.get()).as_mut() }.unwrap_or_else(|| fail("the engine is not being made"))
}

/// Makes the engine of the module in `bytecode`, and leaves it as other processes find it.
fn make_engine(kind: Kind, bytecode: &[u8]) {
    // SAFETY: no reference to another maker is in use.
    unsafe { *MAKER.0.get() = Some(Maker::new(kind)) };
    engine::make_or_end(bytecode, &MAKING);
    engine::leave_maker(maker().size_of(engine::runtime().cast()));
}

/// What the engine calls while it is made for an image; never for null.
static MAKING: qjs::JSMallocFunctions = qjs::JSMallocFunctions {
    js_calloc: Some(make_calloc),
    js_malloc: Some(make_malloc),
    js_free: Some(make_free),
    js_realloc: Some(make_realloc),
    js_malloc_usable_size: Some(size_of_made),
};

unsafe extern "C" fn make_malloc(_: *mut c_void, size: u64) -> *mut c_void {
    maker().alloc(size as usize).cast()
}

/// Memory is used once, so that it is zero.
unsafe extern "C" fn make_calloc(_: *mut c_void, count: u64, size: u64) -> *mut c_void {
    maker().alloc((count * size) as usize).cast()
}

unsafe extern "C" fn make_free(_: *mut c_void, content: *mut c_void) {
    maker().free(content.cast());
}

unsafe extern "C" fn make_realloc(_: *mut c_void, content: *mut c_void, size: u64) -> *mut c_void {
    maker().realloc(content.cast(), size as usize).cast()
}

unsafe extern "C" fn size_of_made(content: *const c_void) -> u64 {
    maker().size_of(content.cast()) as u64
}

impl Maker {
    fn new(kind: Kind) -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        Maker { top: map(REGION_START, REGION, flags, -1), count: 0, sizes: BTreeMap::new(), kind }
    }

    /// What `alloc` gave: how much it holds.
    fn size_of(&self, content: *const u8) -> usize {
        self.sizes[&(content as usize)]
    }

    fn alloc(&mut self, content: usize) -> *mut u8 {
        let size = content.max(1).next_multiple_of(ALIGNED);
        let number = self.count;
        self.count += 1;
        let start = match &mut self.kind {
            Kind::Trace { blocks, pages } => {
                let Some(block) = blocks.get_mut(number) else { fail("the engine makes too many blocks") };
                *block = Traced { size: size as u32, flags: ALIVE };
                let start = self.top;
                self.top += size.next_multiple_of(PAGE);
                pages.resize((self.top - REGION_START) / PAGE, Page { owner: number as u32, is_readable: false });
                start
            }
            Kind::Plan(blocks) => match blocks.get(number) {
                Some(block) if block.size as usize == size && block.offset == DEAD => {
                    self.top += size;
                    self.top - size
                }
                Some(block) if block.size as usize == size => memory::space().0 + block.offset as usize,
                _ => fail("the engine is not made as it was in the trace: something depends on more than the sources"),
            },
        };
        if self.top > REGION_END {
            fail("the engine takes too much memory");
        }
        self.sizes.insert(start, size);
        start as *mut u8
    }

    fn free(&mut self, content: *mut u8) {
        self.sizes.remove(&(content as usize));
        if let Kind::Trace { blocks, pages } = &mut self.kind {
            blocks[pages[(content as usize - REGION_START) / PAGE].owner as usize].flags = 0;
        }
    }

    fn realloc(&mut self, content: *mut u8, size: usize) -> *mut u8 {
        let had = self.size_of(content);
        if size <= had {
            return content;
        }
        let new = self.alloc(size);
        // SAFETY: two blocks, both large enough.
        unsafe { new.copy_from_nonoverlapping(content, had) };
        self.free(content);
        new
    }
}

/// `berth --image-trace TRACE [APPLET ...]`: makes the engine; what the applet then touches of it is noted in the file
/// TRACE.
pub fn trace(file: &[u8]) {
    let length = MOST_BLOCKS * size_of::<Traced>();
    let made = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(text(file));
    let made = made.and_then(|file| file.set_len(length as u64).map(|()| file));
    let file = made.unwrap_or_else(|error| fail(&format!("{}: {error}", text(file))));
    let shared = map(0, length, libc::MAP_SHARED, std::os::fd::AsRawFd::as_raw_fd(&file));
    // SAFETY: a mapping of that length, which stays.
    let blocks = unsafe { slice::from_raw_parts_mut(shared as *mut Traced, MOST_BLOCKS) };
    make_engine(Kind::Trace { blocks, pages: Vec::new() }, memory::bytecode());
    let top = maker().top;
    // SAFETY: the rest of the region. It is the same in each process, whatever has been before.
    unsafe { memory::go_on_at(top..REGION_END) };
    watch(top);
}

/// `berth --image PLAN IMAGE`: writes head and blocks of the image.
pub fn write(plan: &[u8], image: &[u8]) -> ! {
    // Nothing else may lie where the image will.
    // SAFETY: an empty place; no block is in use.
    unsafe { memory::go_on_at(0..0) };
    let bytecode = memory::take_bytecode();
    let bytes = fs::read(text(plan)).unwrap_or_else(|error| fail(&format!("{}: {error}", text(plan))));
    let word = |at: &[u8]| u32::from_le_bytes([at[0], at[1], at[2], at[3]]);
    let mut blocks: Vec<_> =
        bytes.chunks_exact(8).map(|at| Planned { offset: word(at), size: word(&at[4..]) }).collect();
    // The last one is none: where the image ends.
    let end = blocks.pop().map_or(0, |last| last.offset as usize);
    let count = blocks.len();
    make_engine(Kind::Plan(blocks), &bytecode);
    if maker().count != count {
        fail("the engine is not made as it was in the trace: it has fewer blocks");
    }
    if maker().sizes.range(REGION_START..).next().is_some() {
        fail("the engine is not made as it was in the trace: a block is alive that was not");
    }
    // The engine may keep addresses of what it has freed, such as in shapes that are in its table no more, but does not
    // follow them.
    // SAFETY: no block in the region is alive.
    unsafe { libc::mprotect(REGION_START as *mut _, REGION, libc::PROT_NONE) };
    let (space, limit) = memory::space();
    if end > limit - space {
        fail("the image is larger than its place: see SIZE in memory.rs");
    }
    // SAFETY: the blocks are in there, and nothing changes them any more.
    let content = unsafe { slice::from_raw_parts(space as *const u8, end) };
    require_closed(content);
    let head = memory::image_head(end);
    // SAFETY: a structure without holes, as bytes.
    let head = unsafe { slice::from_raw_parts((&raw const head).cast::<u8>(), size_of::<memory::Head>()) };
    fs::write(text(image), [head, content].concat()).unwrap_or_else(|error| fail(&format!("{}: {error}", text(image))));
    exit_now(0)
}

/// No word in the image may be an address of anything that another process does not have: a stack, a mapping. The
/// executable itself is at the same place in all of them.
fn require_closed(content: &[u8]) {
    let foreign = foreign_mappings();
    for (index, bytes) in content.chunks_exact(size_of::<usize>()).enumerate() {
        let word = usize::from_ne_bytes(bytes.try_into().unwrap_or_default());
        if foreign.iter().any(|range| range.contains(&word)) {
            let bound = content.len();
            fail(&format!(
                "word {index} of the image ({bound} bytes) is {word:#x}, an address outside of the executable"
            ));
        }
    }
}

/// The process' mappings that are not the executable's. One that nobody may access has no addresses of anything.
fn foreign_mappings() -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_else(|error| fail(&format!("/proc/self/maps: {error}")));
    let range = |line: &str| -> Option<Range<usize>> {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    };
    let own_end = memory::executable_end();
    let is_used = |line: &&str| !line.contains(" ---p ");
    maps.lines().filter(is_used).filter_map(range).filter(|range| range.start >= own_end).collect()
}

/// From here on every first read and first write of a block is noted; `top`: where the last one ends.
fn watch(top: usize) {
    // SAFETY: one thread; the handler touches nothing that it watches. The region is ours.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = note_access as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSEGV, &action, null_mut());
        libc::mprotect(REGION_START as *mut _, top - REGION_START, libc::PROT_NONE);
    }
}

unsafe extern "C" fn note_access(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes it; the engine is interrupted, and uses nothing of ours.
    let number = unsafe { (*info).si_addr() as usize }.wrapping_sub(REGION_START) / PAGE;
    let Kind::Trace { blocks, pages } = &mut maker().kind else { exit_now(BUG) };
    // Elsewhere it is a crash like any other.
    let Some(page) = pages.get_mut(number) else { exit_now(BUG) };
    let (flag, access) =
        if page.is_readable { (WRITTEN, libc::PROT_READ | libc::PROT_WRITE) } else { (READ, libc::PROT_READ) };
    blocks[page.owner as usize].flags |= flag;
    page.is_readable = true;
    // SAFETY: a page of the region.
    unsafe { libc::mprotect((REGION_START + number * PAGE) as *mut _, PAGE, access) };
}

fn map(wanted: usize, length: usize, kind: libc::c_int, file: libc::c_int) -> usize {
    // SAFETY: a new mapping, which replaces none.
    let start = unsafe { libc::mmap(wanted as *mut _, length, libc::PROT_READ | libc::PROT_WRITE, kind, file, 0) };
    if start == libc::MAP_FAILED {
        fail("there is no memory for it");
    }
    start as usize
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn fail(why: &str) -> ! {
    say(format_args!("the image cannot be made: {why}"));
    exit_now(BUG)
}
