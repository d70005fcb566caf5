//! A deadline for system calls that know none: an interval timer whose signal interrupts them.

use std::mem::zeroed;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

/// From `new` until it is dropped, a blocking system call ends with EINTR once the deadline is over.
pub struct Deadline {
    end: Instant,
}

/// The signal can arrive just before the call blocks, which would miss it: it comes again and again.
const AGAIN: Duration = Duration::from_millis(10);

impl Deadline {
    pub fn new(wait: Duration) -> Self {
        // SAFETY: the handler does nothing, so it is safe at any time. Without SA_RESTART the interrupted call returns.
        // The signal may have been blocked by whoever started us; a mask is inherited.
        unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(libc::SIGALRM, &action, null_mut());
            let mut signals: libc::sigset_t = zeroed();
            libc::sigemptyset(&mut signals);
            libc::sigaddset(&mut signals, libc::SIGALRM);
            libc::sigprocmask(libc::SIG_UNBLOCK, &signals, null_mut());
        }
        // A timer of zero would be none.
        set_timer(wait.max(Duration::from_micros(1)), AGAIN);
        Deadline { end: Instant::now() + wait }
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        set_timer(Duration::ZERO, Duration::ZERO);
    }
}

extern "C" fn nothing(_signal: libc::c_int) {}

fn set_timer(first: Duration, then: Duration) {
    let part = |time: Duration| libc::timeval { tv_sec: time.as_secs() as _, tv_usec: time.subsec_micros().into() };
    let timer = libc::itimerval { it_value: part(first), it_interval: part(then) };
    // SAFETY: `timer` is valid, and this process has no other use for ITIMER_REAL.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, null_mut()) };
}
