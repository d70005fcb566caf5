//! Bytes as JavaScript strings, and back.

use super::call::{Answer, Call};
use rustix::io::Errno;

pub fn encode_utf8<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer_bytes(call.text(0)?.as_bytes())
}

pub fn decode_utf8<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    answer(call, call.bytes(0)?)
}

/// `bytes` as a string. As Go decodes: every single byte that belongs to no character becomes U+FFFD (Rust makes one of
/// a cut-off character).
pub fn answer<'js>(call: &Call<'_, 'js>, bytes: &[u8]) -> Answer<'js> {
    match std::str::from_utf8(bytes) {
        Ok(text) => call.answer_text(text),
        Err(_) => {
            let mut text = String::new();
            // A configuration may be large, and nothing but such bytes.
            text.try_reserve(3 * bytes.len()).map_err(|_| Errno::NOMEM)?;
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
            call.answer_text(&text)
        }
    }
}
