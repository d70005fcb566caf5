//! What JSON.parse does not tell of a text; and texts, quicker than JSON.stringify makes them.

use super::call::{Answer, Call, take};
use super::errors::Failure;
use super::{text, utf8};
use rquickjs::{Ctx, Value, qjs};
use rustix::io::Errno;
use std::ffi::c_int;
use std::ptr::null_mut;

/// More than any answer or record has; each takes some of the stack.
const MOST_LEVELS: usize = 100;

pub fn may_repeat_keys<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer(has_twins(call.bytes(0)?))
}

/// Whether an object of a JSON text may have two keys that differ in nothing but the case of letters. Where a key has
/// an escape or is not ASCII, it may. What is no JSON gives any answer.
fn has_twins(json: &[u8]) -> bool {
    // Hashes of the keys of all objects that are open, and where those of each bracket begin.
    let (mut keys, mut brackets) = (Vec::<u64>::new(), Vec::<usize>::new());
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => brackets.push(keys.len()),
            b'}' | b']' => {
                let start = brackets.pop().unwrap_or(0);
                keys[start..].sort_unstable();
                if keys[start..].windows(2).any(|pair| pair[0] == pair[1]) {
                    return true;
                }
                keys.truncate(start);
            }
            b'"' => {
                let start = at;
                while let Some(&byte) = json.get(at).filter(|&&byte| byte != b'"') {
                    at += if byte == b'\\' { 2 } else { 1 };
                }
                let key = json.get(start..at).unwrap_or_default();
                at += 1;
                if json[json.len().min(at)..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
                    if key.iter().any(|byte| *byte == b'\\' || !byte.is_ascii()) {
                        return true;
                    }
                    // FNV-1a
                    keys.push(key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
                    }));
                }
            }
            _ => {}
        }
    }
    false
}

pub fn format_json<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let mut json = Json { ctx: call.ctx, indent: call.length(1, 10)?, text: Vec::new() };
    json.value(&call.value(0), 0)?;
    utf8::answer(call, &json.text)
}

struct Json<'a, 'js> {
    ctx: &'a Ctx<'js>,
    /// Spaces for each level; 0: all in one line.
    indent: usize,
    text: Vec<u8>,
}

impl<'js> Json<'_, 'js> {
    fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.text.try_reserve(bytes.len()).map_err(|_| Errno::NOMEM)?;
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, level: usize) -> Result<(), Failure> {
        if self.indent == 0 {
            return Ok(());
        }
        self.add(b"\n")?;
        (0..level).try_for_each(|_| self.add(&b"          "[..self.indent]))
    }

    fn value(&mut self, value: &Value<'js>, level: usize) -> Result<(), Failure> {
        if value.is_string() {
            text::with_bytes(value, |bytes| self.quote(bytes))?
        } else if value.is_object() && level < MOST_LEVELS {
            if value.is_array() { self.array(value, level) } else { self.object(value, level) }
        } else if value.is_null() || value.as_number().is_some_and(|number| !number.is_finite()) {
            self.add(b"null")
        } else if value.is_number() || value.is_bool() {
            text::with_bytes(value, |bytes| self.add(bytes))?
        } else {
            Err(Failure::Type(format!("formatJson: no JSON, or of more than {MOST_LEVELS} levels")))
        }
    }

    fn array(&mut self, array: &Value<'js>, level: usize) -> Result<(), Failure> {
        let (raw, mut length) = (self.ctx.as_raw().as_ptr(), 0);
        // SAFETY: both are alive.
        if unsafe { qjs::JS_GetLength(raw, array.as_raw(), &mut length) } < 0 {
            return Err(Failure::Thrown);
        }
        self.add(b"[")?;
        for index in 0..length {
            if index > 0 {
                self.add(b",")?;
            }
            self.line(level + 1)?;
            // SAFETY: both are alive.
            let item = take(self.ctx, unsafe { qjs::JS_GetPropertyInt64(raw, array.as_raw(), index) })?;
            self.value(&item, level + 1)?;
        }
        if length > 0 {
            self.line(level)?;
        }
        self.add(b"]")
    }

    fn object(&mut self, object: &Value<'js>, level: usize) -> Result<(), Failure> {
        let (raw, mut keys, mut count) = (self.ctx.as_raw().as_ptr(), null_mut(), 0);
        let which = (qjs::JS_GPN_STRING_MASK | qjs::JS_GPN_ENUM_ONLY) as c_int;
        // SAFETY: the object is alive; what comes back is a table of `count` keys, which are ours until it is given
        // back.
        unsafe {
            if qjs::JS_GetOwnPropertyNames(raw, &mut keys, &mut count, object.as_raw(), which) < 0 {
                return Err(Failure::Thrown);
            }
            let table = if count == 0 { &[] } else { std::slice::from_raw_parts(keys, count as usize) };
            let members = self.members(object, table, level);
            qjs::JS_FreePropertyEnum(raw, keys, count);
            members
        }
    }

    /// Those that are undefined are left out.
    fn members(&mut self, object: &Value<'js>, keys: &[qjs::JSPropertyEnum], level: usize) -> Result<(), Failure> {
        let raw = self.ctx.as_raw().as_ptr();
        self.add(b"{")?;
        let mut is_first = true;
        for key in keys {
            // SAFETY: object and key are alive.
            let member = take(self.ctx, unsafe { qjs::JS_GetProperty(raw, object.as_raw(), key.atom) })?;
            if member.is_undefined() {
                continue;
            }
            if !is_first {
                self.add(b",")?;
            }
            is_first = false;
            self.line(level + 1)?;
            // SAFETY: the key is alive.
            let name = take(self.ctx, unsafe { qjs::JS_AtomToString(raw, key.atom) })?;
            text::with_bytes(&name, |bytes| self.quote(bytes))??;
            self.add(if self.indent == 0 { b":" } else { b": " })?;
            self.value(&member, level + 1)?;
        }
        if !is_first {
            self.line(level)?;
        }
        self.add(b"}")
    }

    /// `bytes` is UTF-8, but for lone surrogates, which are of three bytes that begin with ED A0..BF.
    fn quote(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.add(b"\"")?;
        let mut start = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            let is_surrogate = byte == 0xED && bytes.get(at + 1).is_some_and(|&next| next >= 0xA0);
            if byte >= b' ' && byte != b'"' && byte != b'\\' && !is_surrogate {
                continue;
            }
            self.add(&bytes[start..at])?;
            start = at + 1;
            match byte {
                b'"' => self.add(b"\\\"")?,
                b'\\' => self.add(b"\\\\")?,
                b'\n' => self.add(b"\\n")?,
                b'\r' => self.add(b"\\r")?,
                b'\t' => self.add(b"\\t")?,
                8 => self.add(b"\\b")?,
                12 => self.add(b"\\f")?,
                0xED => {
                    start = at + 3;
                    let unit = 0xD000 | u32::from(bytes[at + 1] & 0x3F) << 6 | u32::from(bytes[at + 2] & 0x3F);
                    self.add(format!("\\u{unit:04x}").as_bytes())?;
                }
                control => self.add(format!("\\u{control:04x}").as_bytes())?,
            }
        }
        self.add(&bytes[start..])?;
        self.add(b"\"")
    }
}
