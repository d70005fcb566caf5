//! Text of IP addresses: the quick way for what is written as Go writes it. Reading and writing all the rest is
//! lib/ip's.

use super::call::{Answer, Call};
use super::text;
use rustix::io::Errno;
use std::net::{Ipv4Addr, Ipv6Addr};

pub fn is_canonical_ip<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer(text::with_js(&call.string(0)?, |text| bits_of_canonical(text).is_some())?)
}

pub fn is_canonical_cidr<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    call.answer(text::with_js(&call.string(0)?, bits_of_canonical_cidr)?.is_some())
}

pub fn are_canonical<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let bits = text::with_js(&call.string(0)?, bits_of_canonical_cidr)?;
    call.answer(bits.is_some() && text::with_js(&call.string(1)?, bits_of_canonical)? == bits)
}

/// The `length` bytes (4 or 16) of an array from `start` on.
pub fn format_address<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let bytes = call.bytes(0)?;
    let (start, length) = (call.length(1, bytes.len())?, call.length(2, bytes.len())?);
    let address = bytes.get(start..start + length).unwrap_or_default();
    call.answer_text(text_of(address).ok_or(Errno::INVAL)?.as_str())
}

/// The canonical text of an address of 4 or 16 bytes; None for any other length.
pub fn text_of(address: &[u8]) -> Option<AddressText> {
    let mut text = AddressText { bytes: [0; LONGEST], length: 0 };
    match *address {
        [_, _, _, _] => text.push_ipv4(address),
        // IPv4-mapped
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, _, _, _, _] => {
            b"::ffff:".iter().for_each(|byte| text.push(*byte));
            text.push_ipv4(&address[12..]);
        }
        _ if address.len() == 16 => text.push_ipv6(address),
        _ => return None,
    }
    Some(text)
}

const LONGEST: usize = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".len();

pub struct AddressText {
    bytes: [u8; LONGEST],
    length: usize,
}

impl AddressText {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn push_ipv4(&mut self, address: &[u8]) {
        for (index, byte) in address.iter().enumerate() {
            if index > 0 {
                self.push(b'.');
            }
            if *byte >= 100 {
                self.push(b'0' + byte / 100);
            }
            if *byte >= 10 {
                self.push(b'0' + byte / 10 % 10);
            }
            self.push(b'0' + byte % 10);
        }
    }

    /// "::" for the first of the longest runs of at least two groups that are 0 (RFC 5952).
    fn push_ipv6(&mut self, address: &[u8]) {
        let group = |index: usize| u16::from_be_bytes([address[2 * index], address[2 * index + 1]]);
        let (mut gap, mut run) = (8..8, 0..0);
        for index in 0..8 {
            run = if group(index) == 0 { run.start..index + 1 } else { index + 1..index + 1 };
            if run.len() >= 2 && run.len() > gap.len() {
                gap = run.clone();
            }
        }
        for index in 0..8 {
            if index == gap.start {
                self.push(b':');
            }
            if gap.contains(&index) {
                continue;
            }
            if index > 0 {
                self.push(b':');
            }
            let digits = group(index);
            for shift in [12, 8, 4, 0] {
                if digits >> shift != 0 || shift == 0 {
                    self.push(b"0123456789abcdef"[usize::from(digits >> shift & 15)]);
                }
            }
        }
        if gap.end == 8 && gap.start < 8 {
            self.push(b':');
        }
    }
}

fn bits_of_canonical_cidr(text: &str) -> Option<u8> {
    let (address, prefix) = text.split_once('/')?;
    let bits = bits_of_canonical(address)?;
    is_number_up_to(prefix, bits).then_some(bits)
}

/// The bits of an address in canonical text. None: it is not canonical (no dots in IPv6), or no address.
fn bits_of_canonical(text: &str) -> Option<u8> {
    if !text.contains(':') {
        // Neither Rust nor Go reads leading zeros: what is read is canonical.
        return text.parse::<Ipv4Addr>().ok().map(|_| 32);
    }
    // Mapped ones have dots, and are IPv4 to Go's parser.
    let address: Ipv6Addr = text.parse().ok().filter(|_| !text.contains('.'))?;
    (text_of(&address.octets())?.as_str() == text).then_some(128)
}

fn is_number_up_to(digits: &str, most: u8) -> bool {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    is_plain && digits.parse::<u8>().is_ok_and(|number| number <= most)
}
