//! Clocks, and waiting.

use super::call::{Answer, Call};
use rustix::event::Timespec;
use std::time::{Duration, Instant};

pub fn monotonic_ms<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer_number(clock_ms(libc::CLOCK_MONOTONIC))
}

pub fn boottime_ms<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer_number(clock_ms(libc::CLOCK_BOOTTIME))
}

pub fn realtime_ms<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer_number(clock_ms(libc::CLOCK_REALTIME))
}

pub fn sleep_ms<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    std::thread::sleep(duration(call.number(0)?));
    call.nothing()
}

/// A number of milliseconds as a duration: nothing below zero, at most a year.
pub fn duration(ms: f64) -> Duration {
    const YEAR_MS: f64 = 365.0 * 86_400_000.0;
    // NaN becomes 0 in the conversion.
    Duration::from_micros((ms.clamp(0.0, YEAR_MS) * 1000.0) as u64)
}

/// How long it is until `end`, for poll(2); nothing below zero.
pub fn until(end: Instant) -> Timespec {
    let rest = end.saturating_duration_since(Instant::now());
    Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: rest.subsec_nanos().into() }
}

fn clock_ms(clock: libc::clockid_t) -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: these clocks always exist, and `now` is ours to write. libc goes through the vDSO.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec as f64 * 1000.0 + now.tv_nsec as f64 / 1_000_000.0
}
