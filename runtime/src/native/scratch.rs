//! One buffer for everything that is read, so that a read costs a copy of what came and not an allocation of what
//! might.

use std::cell::UnsafeCell;

struct Scratch(UnsafeCell<Vec<u8>>);

// SAFETY: the process has one thread.
unsafe impl Sync for Scratch {}

// No thread_local: what has a destructor there is registered with the C library at its first use, for seven system
// calls.
static SCRATCH: Scratch = Scratch(UnsafeCell::new(Vec::new()));

/// Calls `work` with an empty vector that has room for `room` bytes. `work` must not call JavaScript.
pub fn with<R>(room: usize, work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    // SAFETY: one thread. Were this called within `work`, it would find an empty vector.
    let mut buffer = std::mem::take(unsafe { &mut *SCRATCH.0.get() });
    buffer.clear();
    if buffer.capacity() < room {
        // A new one: growing would copy what nobody wants any more.
        drop(std::mem::take(&mut buffer));
        buffer.reserve(room);
    }
    let result = work(&mut buffer);
    // SAFETY: as above.
    unsafe { *SCRATCH.0.get() = buffer };
    result
}
