//! This process: arguments, environment, end; and the engine that it runs.

use super::call::{Answer, Call};
use super::utf8;
use crate::{arguments, end, memory};
use rquickjs::{Array, Object, qjs};
use std::ffi::{CStr, CString, c_char};
use std::ptr::null;

pub fn args<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let list = Array::new(call.ctx.clone())?;
    for (index, argument) in arguments::all().enumerate() {
        list.set(index, utf8::answer(call, argument)?)?;
    }
    call.answer(list)
}

pub fn variable<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let name = call.text(0)?;
    // Of two with one name the first counts, as for getenv(3) and Go.
    match entries().find_map(|entry| value_of(entry.to_bytes(), name.as_bytes())) {
        Some(value) => utf8::answer(call, value),
        None => call.nothing(),
    }
}

/// What the entry `NAME=value` says of `name`.
fn value_of<'a>(entry: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    entry.strip_prefix(name)?.strip_prefix(b"=")
}

unsafe extern "C" {
    /// environ(7)
    static mut environ: *const *const c_char;
}

/// The environment's entries, as they came: mostly `NAME=value`, but a parent may pass any bytes.
fn entries() -> impl Iterator<Item = &'static CStr> {
    // SAFETY: the list is ended by a null pointer, its strings stay, and nobody changes either in this process.
    unsafe {
        let start = environ;
        let count = (0..).take_while(|&index| !start.is_null() && !(*start.add(index)).is_null()).count();
        (0..count).map(move |index| CStr::from_ptr(*start.add(index)))
    }
}

/// An environment for a child.
pub struct Environment {
    entries: Vec<*const c_char>,
    /// What of `entries` is not this process' own.
    _changed: Vec<CString>,
}

// SAFETY: the pointers lead to this process' own environment and into `_changed`, and all of that stays.
unsafe impl Send for Environment {}
// SAFETY: nothing in it changes.
unsafe impl Sync for Environment {}

/// This process' environment, to the byte, but for `changes`: what has one of these names is left out, and they are at
/// the end.
pub fn with(changes: &[(String, String)]) -> Environment {
    let is_changed = |entry: &[u8]| changes.iter().any(|(name, _)| value_of(entry, name.as_bytes()).is_some());
    // A NUL has been refused before.
    let changed: Vec<CString> =
        changes.iter().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok()).collect();
    let kept = entries().filter(|entry| !is_changed(entry.to_bytes())).map(CStr::as_ptr);
    let entries = kept.chain(changed.iter().map(|entry| entry.as_ptr())).chain([null()]).collect();
    Environment { entries, _changed: changed }
}

impl Environment {
    /// Makes it this process' own: for the child, between fork and execve.
    pub fn make_own(&self) {
        // SAFETY: one thread; the list is ended by a null pointer.
        unsafe { environ = self.entries.as_ptr() };
    }
}

pub fn exit<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    end::exit_now(call.i32(0)?)
}

pub fn pid<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer_number(f64::from(std::process::id()))
}

pub fn engine<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let about = Object::new(call.ctx.clone())?;
    // SAFETY: a static NUL-terminated string, such as "0.16.2".
    let version = unsafe { CStr::from_ptr(qjs::JS_GetVersion()) };
    about.set("version", &*version.to_string_lossy())?;
    about.set("image", memory::has_image())?;
    call.answer(about)
}
