//! Random bytes from the kernel.

use super::call::{Answer, Call};
use rustix::io::retry_on_intr;
use rustix::rand::{GetRandomFlags, getrandom};

/// Far more than any identifier or nonce.
const MOST: usize = 4096;

pub fn random<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let length = call.length(0, MOST)?;
    let mut bytes = [0; MOST];
    let mut done = 0;
    while done < length {
        let rest = &mut bytes[done..length];
        done += retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
    }
    call.answer_bytes(&bytes[..length])
}
