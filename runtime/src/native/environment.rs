//! This process: arguments, environment, end; and the engine that it runs.

use super::call::{Answer, Call};
use super::text;
use crate::{arguments, engine, memory};
use rquickjs::{Array, Object};
use std::os::unix::ffi::OsStrExt;

pub fn args<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let list = Array::new(call.ctx.clone())?;
    for (index, argument) in arguments::all().enumerate() {
        list.set(index, call.answer_text(&text::decode(argument))?)?;
    }
    call.answer(list)
}

pub fn environment<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let all = Object::new(call.ctx.clone())?;
    for (name, value) in std::env::vars_os() {
        all.set(text::decode(name.as_bytes()), call.answer_text(&text::decode(value.as_bytes()))?)?;
    }
    call.answer(all)
}

pub fn exit<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    exit_now(call.i32(0)?)
}

/// Ends the process. The heap is not taken apart and nothing is flushed: nobody is left to notice.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(status) }
}

pub fn pid<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer_number(f64::from(std::process::id()))
}

pub fn engine<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let about = Object::new(call.ctx.clone())?;
    about.set("version", engine::version())?;
    about.set("image", memory::has_image())?;
    call.answer(about)
}
