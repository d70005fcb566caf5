//! Attributes of netlink messages (`struct nlattr` of linux/netlink.h), as many as are asked for in one call: a dump has thousands.

use super::address;
use super::call::{Answer, Call, take};
use super::errors::Failure;
use rquickjs::qjs;
use rustix::io::Errno;

const HEADER_BYTES: usize = 4;
/// Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const TYPE_MASK: u16 = 0x3fff;
const MOST_WANTED: usize = 16;

/// What may be wanted beside the place: the kinds of lib/netlink/message.ts.
const NUMBER: u8 = 0;
const ADDRESS: u8 = 1;

pub fn attribute_values<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (bytes, wanted) = (call.bytes(0)?, call.bytes(4)?);
    let message = bytes.get(call.length(1, bytes.len())?..).unwrap_or_default();
    let end = call.length(3, message.len())?;
    let mut at = call.length(2, message.len())?;
    let mut values = Values { raw: call.ctx.as_raw().as_ptr(), list: [qjs::JS_UNDEFINED; MOST_WANTED] };
    let wanted = wanted.get(..wanted.len().min(2 * MOST_WANTED)).unwrap_or_default();
    while let Some((kind, payload)) = attribute(message, at, end) {
        for (index, pair) in wanted.chunks_exact(2).enumerate() {
            if u16::from(pair[0]) == kind {
                values.put(index, value(call, pair[1], payload, at + HEADER_BYTES)?);
            }
        }
        at += HEADER_BYTES + payload.len().next_multiple_of(4);
    }
    values.into_array(call, wanted.len() / 2)
}

/// The attribute at `at`: its type and its payload. None: the end, or one that says to be longer than what is there.
fn attribute(bytes: &[u8], at: usize, end: usize) -> Option<(u16, &[u8])> {
    let header = bytes.get(at..end)?.first_chunk::<HEADER_BYTES>()?;
    let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
    let payload = bytes.get(at + HEADER_BYTES..at + length).filter(|_| at + length <= end)?;
    Some((u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK, payload))
}

fn value(call: &Call<'_, '_>, kind: u8, payload: &[u8], place: usize) -> Result<qjs::JSValue, Failure> {
    let number = match kind {
        ADDRESS => {
            let text = address::text_of(payload).ok_or_else(|| call.fail(Errno::INVAL))?;
            return Ok(super::call::give(call.answer_text(text.as_str())?));
        }
        NUMBER => match payload.first_chunk() {
            Some(bytes) => f64::from(u32::from_ne_bytes(*bytes)),
            None => return Err(call.fail(Errno::INVAL)),
        },
        _ => place as f64,
    };
    Ok(super::call::give(call.answer_number(number)?))
}

/// Values that are ours until an array takes them.
struct Values {
    raw: *mut qjs::JSContext,
    list: [qjs::JSValue; MOST_WANTED],
}

impl Values {
    fn put(&mut self, index: usize, value: qjs::JSValue) {
        let before = std::mem::replace(&mut self.list[index], value);
        // SAFETY: the reference was ours.
        unsafe { qjs::JS_FreeValue(self.raw, before) };
    }

    fn into_array<'js>(mut self, call: &Call<'_, 'js>, count: usize) -> Answer<'js> {
        let list = std::mem::replace(&mut self.list, [qjs::JS_UNDEFINED; MOST_WANTED]);
        // SAFETY: the engine takes the references over, also where it fails.
        take(call.ctx, unsafe { qjs::JS_NewArrayFrom(self.raw, count as _, list.as_ptr()) })
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        for value in self.list {
            // SAFETY: they are ours.
            unsafe { qjs::JS_FreeValue(self.raw, value) };
        }
    }
}
