//! SHA-256 (FIPS 180-4) of files: of this executable, and of what lies in its place.

use super::call::{Answer, Call};
use super::errors::Refused;
use super::files::open_to_read;
use super::scratch;
use rustix::io::Errno;
use std::fmt::Write;

/// A read asks for so many bytes.
const PIECE: usize = 1 << 16;

pub fn sha256<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(0)?;
    let fd = open_to_read(&path).at(&path)?;
    let digest = scratch::with(PIECE, |buffer| {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        loop {
            match rustix::io::read(&fd, buffer.spare_capacity_mut()) {
                Ok(([], _)) => return Ok(context.finish()),
                Ok((piece, _)) => context.update(piece),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    })
    .at(&path)?;
    let mut text = String::new();
    for byte in digest.as_ref() {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    call.answer_text(&text)
}
