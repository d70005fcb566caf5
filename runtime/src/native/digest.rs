//! SHA-256 (FIPS 180-4) of files: of this executable, and of what lies in its place.

use super::call::{Answer, Call};
use super::scratch;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::fmt::Write;

/// A read asks for so many bytes.
const PIECE: usize = 1 << 16;

pub fn sha256<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(0)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty()))
        .map_err(|errno| call.fail_path(errno, &path))?;
    let digest = scratch::with(PIECE, |buffer| {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        loop {
            buffer.clear();
            if retry_on_intr(|| super::files::read_some(&fd, buffer))? == 0 {
                return Ok(context.finish());
            }
            context.update(buffer);
        }
    })
    .map_err(|errno: Errno| call.fail_path(errno, &path))?;
    let mut text = String::new();
    for byte in digest.as_ref() {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    call.answer_text(&text)
}
