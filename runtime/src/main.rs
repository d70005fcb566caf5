//! Berth's host: enters the JavaScript engine, which the build has left in the executable. What a CNI plugin does, and
//! which one is meant, is TypeScript; nothing of it is in here.

// std's own start-up costs a dozen system calls for things that we do not use (a guard page, an alternate signal stack,
// a look at the standard descriptors), so the C start code calls us directly.
#![no_main]

mod arguments;
mod end;
mod engine;
mod image;
mod memory;
mod native;
mod unwinding;

use std::ffi::{c_char, c_int};

/// An ELF note (elf(5)) by which `berth install` knows a Berth of any version from another's executable: owner "Berth",
/// type 1, the version.
#[repr(C, align(4))]
struct Note {
    owner_length: u32,
    length: u32,
    kind: u32,
    owner: [u8; 8],
    version: [u8; VERSION.len().next_multiple_of(4)],
}

const VERSION: &[u8] = env!("CARGO_PKG_VERSION").as_bytes();

#[used]
#[unsafe(link_section = ".note.berth")]
static NOTE: Note = Note {
    owner_length: 6,
    length: VERSION.len() as u32,
    kind: 1,
    owner: *b"Berth\0\0\0",
    version: {
        let mut padded = [0; VERSION.len().next_multiple_of(4)];
        padded.split_at_mut(VERSION.len()).0.copy_from_slice(VERSION);
        padded
    },
};

// SAFETY: the C start code calls `main` once, with this signature; nothing else in the executable is called `main`.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, argv: *const *const c_char) -> c_int {
    make_errors_of_signals();
    // SAFETY: this is what the C start code passes.
    unsafe { arguments::remember(argv) };
    if !memory::has_image() {
        start_without_image();
    }
    engine::run()
}

/// Makes the engine, for this process or for the image.
#[cold]
fn start_without_image() {
    memory::begin();
    let mut arguments = arguments::all().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(b"--image"), Some(plan), Some(image)) => image::write(plan, image),
        (Some(b"--image-trace"), Some(trace), applet) => {
            image::trace(trace);
            if applet.is_none() {
                engine::touch_shapes();
                end::exit_now(0);
            }
            arguments::skip(3);
        }
        _ => engine::make_or_end(memory::bytecode(), &memory::ENGINE),
    }
}

/// A write to a closed pipe or socket is EPIPE, and one beyond RLIMIT_FSIZE is EFBIG: errors like others, which are
/// answered and undone, not the end of the process.
fn make_errors_of_signals() {
    // SAFETY: no other thread exists, and SIG_IGN runs no code of ours. processes.rs gives children the default back.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
