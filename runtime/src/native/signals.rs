//! Signals as something to read: for a process that waits in poll(2).

use super::call::{Answer, Call, integer};
use super::errors::Failure;
use super::sockets::last_errno;
use rquickjs::Value;
use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::Errno;
use std::mem::zeroed;
use std::ptr::null_mut;

/// Blocks the signals and returns a descriptor (signalfd(2)) that is readable once one of them has come.
pub fn signal_fd<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let wrong = || Failure::Type("signalFd: argument 1 must be an array of signal numbers".to_owned());
    let list = call.value(0).into_array().ok_or_else(wrong)?;
    // SAFETY: a set of signals is plain memory, and `sigemptyset` makes it one.
    let mut signals: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: `signals` is ours to write.
    unsafe { libc::sigemptyset(&mut signals) };
    for index in 0..list.len() {
        let number = integer(&list.get::<Value>(index)?).ok_or_else(wrong)?;
        // SAFETY: as above; a number that is no signal is refused.
        if unsafe { libc::sigaddset(&mut signals, number) } < 0 {
            return Err(Errno::INVAL.into());
        }
    }
    // SAFETY: the set is valid; this process has one thread, whose mask is the process'.
    let number = unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, &signals, null_mut());
        libc::signalfd(-1, &signals, libc::SFD_CLOEXEC)
    };
    if number < 0 {
        return Err(last_errno().into());
    }
    // SAFETY: the kernel has just made it, for us.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    call.answer_number(call.keep(fd)?)
}
