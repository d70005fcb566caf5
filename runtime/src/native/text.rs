//! Strings: UTF-16 inside the engine, UTF-8 outside.

use super::errors::Failure;
use rquickjs::{Value, qjs};
use rustix::io::Errno;

/// What `read` makes of a JavaScript string's UTF-8, which is not copied; of another value, of what `String` says.
pub fn with_bytes<T>(value: &Value<'_>, read: impl FnOnce(&[u8]) -> T) -> Result<T, Failure> {
    let raw = value.ctx().as_raw().as_ptr();
    let mut length = 0;
    // SAFETY: `value` is alive, and the engine's text is until it is given back; no JavaScript runs in between.
    unsafe {
        let start = qjs::JS_ToCStringLen2(raw, &mut length, value.as_raw(), false);
        if start.is_null() {
            return Err(Failure::Thrown);
        }
        let said = read(std::slice::from_raw_parts(start.cast::<u8>(), length as usize));
        qjs::JS_FreeCString(raw, start);
        Ok(said)
    }
}

/// The same of its text; that of a string with a lone surrogate is "".
pub fn with_js<T>(value: &Value<'_>, read: impl FnOnce(&str) -> T) -> Result<T, Failure> {
    with_bytes(value, |bytes| read(std::str::from_utf8(bytes).unwrap_or_default()))
}

/// A JavaScript string's text; a lone surrogate becomes U+FFFD.
pub fn from_js(value: &Value<'_>) -> Result<String, Failure> {
    let bytes = with_bytes(value, |text| {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(text.len()).map(|()| bytes.extend_from_slice(text)).map(|()| bytes)
    })?;
    let bytes = bytes.map_err(|_| Failure::System { errno: Errno::NOMEM, call: Some("malloc"), path: None })?;
    String::from_utf8(bytes).or_else(|error| {
        let mut bytes = error.into_bytes();
        replace_surrogates(&mut bytes);
        String::from_utf8(bytes).map_err(|_| Failure::Type("a string that is no text".to_owned()))
    })
}

/// The engine writes a lone surrogate as ED A0..BF xx, which UTF-8 forbids; U+FFFD has the same length.
fn replace_surrogates(bytes: &mut [u8]) {
    for start in 0..bytes.len().saturating_sub(2) {
        if bytes[start] == 0xED && bytes[start + 1] >= 0xA0 {
            bytes[start..start + 3].copy_from_slice("\u{FFFD}".as_bytes());
        }
    }
}
