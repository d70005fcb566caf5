//! The command line. `std::env::args` is empty where musl starts a `main` of our own: only glibc passes it to std's
//! initializers.

use std::ffi::{CStr, c_char};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

static ARGV: AtomicPtr<*const c_char> = AtomicPtr::new(null_mut());

/// # Safety
/// `argv` must be the list that `main` got: ended by a null pointer, unchanged from here on.
pub unsafe fn remember(argv: *const *const c_char) {
    ARGV.store(argv.cast_mut(), Ordering::Relaxed);
}

/// Takes `count` arguments away from the front.
pub fn skip(count: usize) {
    // SAFETY: the caller has seen that many, and the list ends behind them.
    ARGV.store(unsafe { ARGV.load(Ordering::Relaxed).add(count) }, Ordering::Relaxed);
}

/// The arguments from argv[0] on, as they came.
pub fn all() -> impl Iterator<Item = &'static [u8]> {
    let argv = ARGV.load(Ordering::Relaxed);
    let at = move |index| {
        // SAFETY: `remember` was given the whole list; the iterator goes no further than its end.
        let argument = unsafe { *argv.add(index) };
        // SAFETY: what is not null is a string that stays.
        (!argument.is_null()).then(|| unsafe { CStr::from_ptr(argument) }.to_bytes())
    };
    // Fused: behind the list stands the environment.
    (0..).map_while(at).fuse()
}
