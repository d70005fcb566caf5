//! File descriptors are numbers in JavaScript, which owns them: it says when one is closed.

use super::call::{Answer, Call};
use super::errors::Failure;
use super::time;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr};
use std::time::Instant;

impl Call<'_, '_> {
    pub fn fd(&self, index: usize) -> Result<BorrowedFd<'static>, Failure> {
        borrow(self.i32(index)?)
    }

    /// A directory's descriptor, or AT_FDCWD.
    pub fn directory(&self, index: usize) -> Result<BorrowedFd<'static>, Failure> {
        match self.i32(index)? {
            libc::AT_FDCWD => Ok(rustix::fs::CWD),
            number => borrow(number),
        }
    }

    /// The number of a new descriptor, never one of the standard three. Where the caller of the plugin closed one of
    /// them, the kernel would give out that number next, and what we print would end up in a state file.
    pub fn keep(&self, fd: OwnedFd) -> Result<f64, Failure> {
        let number = fd.into_raw_fd();
        if number > 2 {
            return Ok(f64::from(number));
        }
        // SAFETY: `number` was ours a line ago.
        let low = unsafe { OwnedFd::from_raw_fd(number) };
        let high = fcntl_dupfd_cloexec(&low, 3)?;
        Ok(f64::from(high.into_raw_fd()))
    }
}

/// How many columns the terminal has that is behind a descriptor; 0 for what is no terminal.
pub fn terminal_columns<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let fd = call.fd(0)?;
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes a `winsize`, which is ours.
    let status = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size) };
    call.answer_number(if status == 0 { f64::from(size.ws_col) } else { 0.0 })
}

/// A negative number is EBADF.
pub fn borrow(number: i32) -> Result<BorrowedFd<'static>, Failure> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: not negative. Whether it is open is for the kernel to say (EBADF); JavaScript, which owns the number,
    // cannot close it during the native call that borrows it.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// How many of them are ready; 0: `end` came first. None is never.
pub fn poll_until(entries: &mut [PollFd<'_>], end: Option<Instant>) -> Result<usize, Errno> {
    retry_on_intr(|| poll(entries, end.map(time::until).as_ref()))
}

/// Reads or writes. stdin or stdout may be non-blocking, or a socket with a time limit: whoever made it wants it so for
/// an end of its own, and here it is waited for. stderr is not: what nobody reads must not hold up an answer. From a
/// descriptor that we have opened, EAGAIN is an answer, such as a driver's.
pub fn transfer<T>(
    fd: BorrowedFd<'_>,
    ready: PollFlags,
    mut operation: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    loop {
        match operation() {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if fd.as_raw_fd() <= 1 => {
                poll_until(&mut [PollFd::new(&fd, ready)], None)?;
            }
            ended => return ended,
        }
    }
}
