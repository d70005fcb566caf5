//! flock(2) with a deadline.

use super::call::{Answer, Call};
use super::deadline::Deadline;
use super::time;
use rustix::fs::FlockOperation;
use rustix::io::{Errno, retry_on_intr};

pub fn flock<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, operation, wait) = (call.fd(0)?, call.i32(1)? & !libc::LOCK_NB, time::duration(call.number(2)?));
    let (now, blocking) = match operation {
        libc::LOCK_SH => (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared),
        libc::LOCK_EX => (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive),
        libc::LOCK_UN => (FlockOperation::NonBlockingUnlock, FlockOperation::Unlock),
        _ => return Err(Errno::INVAL.into()),
    };
    let answer = |had: bool| call.answer(had);
    // Most locks are free: then no timer is needed.
    match retry_on_intr(|| rustix::fs::flock(fd, now)) {
        Ok(()) => return answer(true),
        Err(Errno::WOULDBLOCK) if wait.is_zero() => return answer(false),
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => return Err(errno.into()),
    }
    let deadline = Deadline::new(wait);
    loop {
        match rustix::fs::flock(fd, blocking) {
            Ok(()) => return answer(true),
            Err(Errno::INTR) if deadline.is_over() => return answer(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
