//! What JSON.parse does not tell of a text.

use super::call::{Answer, Call};

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
