//! One call from JavaScript: its arguments as Rust values, and the answer. A wrong argument is a TypeError.

use super::errors::Failure;
use super::text;
use rquickjs::{Ctx, Error, IntoJs, Object, Value, qjs};
use rustix::io::Errno;
use std::ffi::{CStr, CString};

pub type Answer<'js> = Result<Value<'js>, Failure>;

pub struct Call<'a, 'js> {
    pub ctx: &'a Ctx<'js>,
    name: &'static CStr,
    arguments: &'a [qjs::JSValue],
}

impl<'a, 'js> Call<'a, 'js> {
    pub fn new(ctx: &'a Ctx<'js>, name: &'static CStr, arguments: &'a [qjs::JSValue]) -> Self {
        Call { ctx, name, arguments }
    }

    /// The function's name, which is most often the system call's.
    pub fn name(&self) -> &'static str {
        self.name.to_str().unwrap_or_default()
    }

    pub fn value(&self, index: usize) -> Value<'js> {
        match self.arguments.get(index) {
            // SAFETY: the value is alive during the call; the duplicate is a reference of our own.
            Some(value) => unsafe {
                Value::from_raw(self.ctx.clone(), qjs::JS_DupValue(self.ctx.as_raw().as_ptr(), *value))
            },
            None => Value::new_undefined(self.ctx.clone()),
        }
    }

    fn wrong(&self, index: usize, wanted: &str) -> Failure {
        Failure::Type(format!("{}: argument {} must be {wanted}", self.name(), index + 1))
    }

    pub fn number(&self, index: usize) -> Result<f64, Failure> {
        self.value(index).as_number().ok_or_else(|| self.wrong(index, "a number"))
    }

    pub fn boolean(&self, index: usize) -> Result<bool, Failure> {
        self.value(index).as_bool().ok_or_else(|| self.wrong(index, "a boolean"))
    }

    pub fn i32(&self, index: usize) -> Result<i32, Failure> {
        integer(&self.value(index)).ok_or_else(|| self.wrong(index, "a 32-bit integer"))
    }

    /// Flags and modes. JavaScript's bit operators give signed numbers, so -1 means all bits.
    pub fn bits(&self, index: usize) -> Result<u32, Failure> {
        let number = self.number(index)?;
        if number.fract() != 0.0 || !(-2_147_483_648.0..=4_294_967_295.0).contains(&number) {
            return Err(self.wrong(index, "a 32-bit integer"));
        }
        Ok(number as i64 as u32)
    }

    /// A length, at most `limit`.
    pub fn length(&self, index: usize, limit: usize) -> Result<usize, Failure> {
        let number = self.number(index)?;
        if number.fract() != 0.0 || !(0.0..=limit as f64).contains(&number) {
            return Err(self.wrong(index, &format!("an integer from 0 to {limit}")));
        }
        Ok(number as usize)
    }

    /// The bytes of a Uint8Array. They are the engine's: to be used before JavaScript runs again.
    pub fn bytes(&self, index: usize) -> Result<&'a [u8], Failure> {
        let value = self.arguments.get(index).copied().unwrap_or(qjs::JS_UNDEFINED);
        bytes_of(self.ctx, value).ok_or_else(|| self.wrong(index, "a Uint8Array"))
    }

    pub fn string(&self, index: usize) -> Result<Value<'js>, Failure> {
        let value = self.value(index);
        if value.is_string() { Ok(value) } else { Err(self.wrong(index, "a string")) }
    }

    pub fn text(&self, index: usize) -> Result<String, Failure> {
        text::from_js(&self.string(index)?)
    }

    pub fn path(&self, index: usize) -> Result<CString, Failure> {
        let path = self.text(index)?;
        let refused = |_| Failure::System { errno: Errno::INVAL, call: None, path: Some(path.clone()) };
        CString::new(path.as_str()).map_err(refused)
    }

    pub fn object(&self, index: usize) -> Result<Object<'js>, Failure> {
        self.value(index).into_object().ok_or_else(|| self.wrong(index, "an object"))
    }

    pub fn answer(&self, value: impl IntoJs<'js>) -> Answer<'js> {
        Ok(value.into_js(self.ctx)?)
    }

    pub fn nothing(&self) -> Answer<'js> {
        Ok(Value::new_undefined(self.ctx.clone()))
    }

    pub fn answer_number(&self, number: f64) -> Answer<'js> {
        Ok(Value::new_number(self.ctx.clone(), number))
    }

    pub fn answer_bytes(&self, bytes: &[u8]) -> Answer<'js> {
        // SAFETY: the engine copies `bytes` into an array of its own.
        let raw = unsafe { qjs::JS_NewUint8ArrayCopy(self.ctx.as_raw().as_ptr(), bytes.as_ptr(), bytes.len() as _) };
        Ok(take(self.ctx, raw)?)
    }

    pub fn answer_text(&self, text: &str) -> Answer<'js> {
        // SAFETY: the engine copies `text`.
        let raw = unsafe { qjs::JS_NewStringLen(self.ctx.as_raw().as_ptr(), text.as_ptr().cast(), text.len() as _) };
        Ok(take(self.ctx, raw)?)
    }
}

/// Makes a value of ours from one that the engine returned, or the pending exception.
pub fn take<'js>(ctx: &Ctx<'js>, raw: qjs::JSValue) -> rquickjs::Result<Value<'js>> {
    // SAFETY: `raw` is the engine's answer, whose reference is ours.
    unsafe {
        if qjs::JS_VALUE_GET_NORM_TAG(raw) == qjs::JS_TAG_EXCEPTION {
            return Err(Error::Exception);
        }
        Ok(Value::from_raw(ctx.clone(), raw))
    }
}

/// Hands a value over to the engine.
pub fn give(value: Value<'_>) -> qjs::JSValue {
    let raw = value.as_raw();
    // SAFETY: the duplicate is the reference that the engine gets; ours ends with `value`.
    unsafe { qjs::JS_DupValue(value.ctx().as_raw().as_ptr(), raw) }
}

pub fn integer(value: &Value<'_>) -> Option<i32> {
    let number = value.as_number()?;
    let integer = number as i32;
    (f64::from(integer) == number).then_some(integer)
}

/// The bytes of a Uint8Array, for as long as JavaScript does not run.
pub fn bytes_of<'a>(ctx: &Ctx<'_>, value: qjs::JSValue) -> Option<&'a [u8]> {
    let raw = ctx.as_raw().as_ptr();
    let mut length = 0;
    // SAFETY: the engine checks that the value is a Uint8Array within its buffer. No JavaScript runs between here and
    // the end of the native call that uses the slice (all natives finish with the slice before they call the engine
    // back), so the buffer is neither detached nor resized.
    unsafe {
        if qjs::JS_GetTypedArrayType(value) != qjs::JSTypedArrayEnum_JS_TYPED_ARRAY_UINT8 as i32 {
            return None;
        }
        let start = qjs::JS_GetUint8Array(raw, &mut length, value);
        if start.is_null() {
            // Detached or out of bounds; the exception is replaced by the caller's. An empty array is no failure.
            if qjs::JS_HasException(raw) {
                qjs::JS_FreeValue(raw, qjs::JS_GetException(raw));
                return None;
            }
            return Some(&[]);
        }
        Some(std::slice::from_raw_parts(start, length as usize))
    }
}
