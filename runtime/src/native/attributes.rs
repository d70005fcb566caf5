//! Attributes of netlink messages (`struct nlattr` of linux/netlink.h), as many as are asked for in one call: a dump
//! has thousands.

use super::address;
use super::call::{Answer, Call, give, take};
use super::errors::{self, Failure};
use rquickjs::qjs;
use rustix::io::Errno;

/// `struct nlmsghdr`: length (u32), type and flags (u16), sequence number, port.
const MESSAGE_HEADER: usize = 16;
const HEADER: usize = 4;
/// Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const TYPE_MASK: u16 = 0x3fff;

/// What may be wanted apart from the place: the kinds of lib/netlink/message.ts.
const NUMBER: u8 = 0;
const ADDRESS: u8 = 1;

/// Name and meaning of an errno that came in a netlink message, and not by a failed system call.
pub fn describe_errno<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (code, text) = errors::describe(Errno::from_raw_os_error(call.i32(0)?));
    call.answer(vec![code.into_owned(), text.into_owned()])
}

pub fn attribute_values<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let bytes = call.bytes(0)?;
    let message = bytes.get(call.length(1, bytes.len())?..).unwrap_or_default();
    let message = &message[..call.length(3, message.len())?];
    let mut values = Values::new(call);
    values.add_message(call, message, call.length(2, message.len())?, call.bytes(4)?)?;
    values.into_array(call)
}

pub fn attribute_rows<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (bytes, wanted) = (call.bytes(0)?, call.bytes(3)?);
    let (mut at, skip) = (call.length(1, bytes.len())?, call.length(2, bytes.len())?);
    let mut values = Values::new(call);
    let first = kind_of(bytes, at);
    while let Some(message) = message(bytes, at).filter(|_| kind_of(bytes, at) == first) {
        values.add(call.answer_number((at + MESSAGE_HEADER) as f64)?)?;
        values.add_message(call, message, skip, wanted)?;
        at += MESSAGE_HEADER + message.len().next_multiple_of(4);
    }
    values.add(call.answer_number(at as f64)?)?;
    values.into_array(call)
}

/// Type, flags and sequence number of the message at `at`, and its family: the first byte of the struct.
fn kind_of(bytes: &[u8], at: usize) -> Option<(&[u8; 8], Option<&u8>)> {
    Some((bytes.get(at + 4..)?.first_chunk()?, bytes.get(at + MESSAGE_HEADER)))
}

/// What follows the header of the message at `at`. None: the end, or one that says to be longer than what is there.
fn message(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
    bytes.get(at + MESSAGE_HEADER..at.checked_add(length)?)
}

/// The attribute at `at`: its type and its payload. None: the end, or one that says to be longer than what is there.
fn attribute(message: &[u8], at: usize) -> Option<(u16, &[u8])> {
    let header = message.get(at..)?.first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
    Some((u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK, message.get(at + HEADER..at + length)?))
}

/// Values that are ours until an array takes them.
struct Values {
    raw: *mut qjs::JSContext,
    list: Vec<qjs::JSValue>,
}

impl Values {
    fn new(call: &Call<'_, '_>) -> Self {
        Values { raw: call.ctx.as_raw().as_ptr(), list: Vec::new() }
    }

    fn add(&mut self, value: rquickjs::Value<'_>) -> Result<(), Failure> {
        self.list.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        self.list.push(give(value));
        Ok(())
    }

    /// One for each of `wanted`, of the attributes of `message` after `skip` bytes.
    fn add_message(&mut self, call: &Call<'_, '_>, message: &[u8], skip: usize, wanted: &[u8]) -> Result<(), Failure> {
        let first = self.list.len();
        for _ in wanted.chunks_exact(2) {
            self.add(call.nothing()?)?;
        }
        let mut at = skip;
        while let Some((kind, payload)) = attribute(message, at) {
            for (index, pair) in wanted.chunks_exact(2).enumerate() {
                if u16::from(pair[0]) == kind {
                    let value = give(value(call, pair[1], payload, at + HEADER)?);
                    let before = std::mem::replace(&mut self.list[first + index], value);
                    // SAFETY: the reference was ours.
                    unsafe { qjs::JS_FreeValue(self.raw, before) };
                }
            }
            at += HEADER + payload.len().next_multiple_of(4);
        }
        Ok(())
    }

    fn into_array<'js>(mut self, call: &Call<'_, 'js>) -> Answer<'js> {
        let list = std::mem::take(&mut self.list);
        // SAFETY: the engine takes the references over, also where it fails.
        Ok(take(call.ctx, unsafe { qjs::JS_NewArrayFrom(self.raw, list.len() as _, list.as_ptr()) })?)
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        for value in self.list.drain(..) {
            // SAFETY: they are ours.
            unsafe { qjs::JS_FreeValue(self.raw, value) };
        }
    }
}

fn value<'js>(call: &Call<'_, 'js>, kind: u8, payload: &[u8], place: usize) -> Answer<'js> {
    match kind {
        ADDRESS => call.answer_text(address::text_of(payload).ok_or(Errno::INVAL)?.as_str()),
        NUMBER => call.answer_number(f64::from(u32::from_ne_bytes(*payload.first_chunk().ok_or(Errno::INVAL)?))),
        _ => call.answer_number(place as f64),
    }
}
