//! One buffer for everything that is read, so that a read costs a copy of what came and not an allocation of what might.

use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with an empty vector that has room for `room` bytes. `work` must not call JavaScript.
pub fn with<R>(room: usize, work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = SCRATCH.take();
    buffer.clear();
    buffer.reserve(room);
    let result = work(&mut buffer);
    SCRATCH.set(buffer);
    result
}
