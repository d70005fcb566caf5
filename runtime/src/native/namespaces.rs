//! Namespaces of this thread, which is the only one.

use super::call::{Answer, Call};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces, unshare_unsafe};

pub fn setns<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, kind) = (call.fd(0)?, ThreadNameSpaceType::from_bits_retain(call.bits(1)?));
    move_into_thread_name_spaces(fd, kind)?;
    call.nothing()
}

pub fn unshare<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let flags = UnshareFlags::from_bits_retain(call.bits(0)?);
    // SAFETY: there is one thread, so no other can be left behind with a different set of descriptors or file systems.
    unsafe { unshare_unsafe(flags) }?;
    call.nothing()
}
