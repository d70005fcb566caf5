//! Sockets of any family: addresses are `struct sockaddr_*` bytes that JavaScript makes and reads.

use super::call::{Answer, Call, integer};
use super::errors::{Failure, errno_of};
use super::{descriptors, scratch, time};
use rquickjs::{Array, Object, Value};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::AsRawFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};
use std::time::Instant;

/// Most that one receive or one option may ask for; the kernel's socket buffers are smaller.
const MOST: usize = 16 << 20;
/// More descriptors than this are never polled.
const MOST_POLLED: usize = 4096;

/// The bytes of a socket address, as they came.
struct RawAddress<'a>(&'a [u8]);

// SAFETY: pointer and length belong to one slice that outlives the call. The kernel copies the bytes and checks them.
unsafe impl SocketAddrArg for RawAddress<'_> {
    unsafe fn with_sockaddr<R>(&self, work: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        work(self.0.as_ptr().cast(), self.0.len() as SocketAddrLen)
    }
}

fn address_bytes(address: &SocketAddrAny) -> &[u8] {
    // SAFETY: rustix says that the first `addr_len` bytes are initialized.
    unsafe { std::slice::from_raw_parts(address.as_ptr().cast(), address.addr_len() as usize) }
}

pub fn socket<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let family = u16::try_from(call.i32(0)?).map_err(|_| Errno::AFNOSUPPORT)?;
    let kind = call.bits(1)?;
    let (flags, kind) = (kind & !0xf, kind & 0xf);
    let flags = SocketFlags::from_bits_retain(flags) | SocketFlags::CLOEXEC;
    let protocol = std::num::NonZeroU32::new(call.bits(2)?).map(Protocol::from_raw);
    let family = AddressFamily::from_raw(family);
    let fd = rustix::net::socket_with(family, SocketType::from_raw(kind), flags, protocol)?;
    call.answer_number(call.keep(fd)?)
}

pub fn bind<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    rustix::net::bind(call.fd(0)?, &RawAddress(call.bytes(1)?))?;
    call.nothing()
}

pub fn connect<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    rustix::net::connect(call.fd(0)?, &RawAddress(call.bytes(1)?))?;
    call.nothing()
}

pub fn listen<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    rustix::net::listen(call.fd(0)?, call.i32(1)?)?;
    call.nothing()
}

pub fn accept<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let fd = call.fd(0)?;
    let accepted = retry_on_intr(|| rustix::net::accept_with(fd, SocketFlags::CLOEXEC));
    call.answer_number(call.keep(accepted?)?)
}

pub fn send<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, data, flags) = (call.fd(0)?, call.bytes(1)?, SendFlags::from_bits_retain(call.bits(2)?));
    let sent = retry_on_intr(|| rustix::net::send(fd, data, flags))?;
    call.answer_number(sent as f64)
}

pub fn send_to<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, data, flags) = (call.fd(0)?, call.bytes(1)?, SendFlags::from_bits_retain(call.bits(2)?));
    let address = RawAddress(call.bytes(3)?);
    let sent = retry_on_intr(|| rustix::net::sendto(fd, data, flags, &address))?;
    call.answer_number(sent as f64)
}

pub fn receive<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, max, flags) = (call.fd(0)?, call.length(1, MOST)?, RecvFlags::from_bits_retain(call.bits(2)?));
    scratch::with(max, |buffer| {
        // The buffer may have more room than was asked for.
        let room = &mut buffer.spare_capacity_mut()[..max];
        let (got, length, address) = retry_on_intr(|| {
            let ((got, _), length, address) = rustix::net::recvfrom(fd, &mut *room, flags)?;
            Ok((got.len(), length, address))
        })?;
        // SAFETY: the kernel wrote that many bytes.
        unsafe { buffer.set_len(got) };
        let object = Object::new(call.ctx.clone())?;
        object.set("data", call.answer_bytes(buffer)?)?;
        object.set("length", call.answer_number(length as f64)?)?;
        object.set("address", call.answer_bytes(address.as_ref().map_or(&[], address_bytes))?)?;
        call.answer(object)
    })
}

pub fn set_option<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, level, option) = (call.fd(0)?, call.i32(1)?, call.i32(2)?);
    let number = call.value(3).as_number().map(|_| call.i32(3)).transpose()?.map(i32::to_ne_bytes);
    let value = match &number {
        Some(bytes) => bytes.as_slice(),
        None => call.bytes(3)?,
    };
    // SAFETY: pointer and length belong to one slice; the kernel copies it.
    let status = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, option, value.as_ptr().cast(), value.len() as libc::socklen_t)
    };
    if status < 0 { Err(last_errno().into()) } else { call.nothing() }
}

/// SO_ATTACH_FILTER: the option's value holds a pointer, which JavaScript cannot make.
pub fn attach_filter<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, program) = (call.fd(0)?, call.bytes(1)?);
    let mut filter: Vec<libc::sock_filter> = program
        .chunks_exact(8)
        .map(|each| libc::sock_filter {
            code: u16::from_ne_bytes([each[0], each[1]]),
            jt: each[2],
            jf: each[3],
            k: u32::from_ne_bytes([each[4], each[5], each[6], each[7]]),
        })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let value = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: `value` and the instructions it points to live until the kernel has copied and checked them.
    let status = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if status < 0 { Err(last_errno().into()) } else { call.nothing() }
}

pub fn get_option<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, level, option, max) = (call.fd(0)?, call.i32(1)?, call.i32(2)?, call.length(3, MOST)?);
    let mut value = vec![0u8; max];
    let mut length = max as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `value`.
    let status = unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &mut length) };
    if status < 0 { Err(last_errno().into()) } else { call.answer_bytes(&value[..max.min(length as usize)]) }
}

pub fn last_errno() -> Errno {
    errno_of(&std::io::Error::last_os_error())
}

pub fn name<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let address = rustix::net::getsockname(call.fd(0)?)?;
    call.answer_bytes(address_bytes(&address))
}

pub fn poll<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let wait = call.number(1)?;
    let end = (wait >= 0.0).then(|| Instant::now() + time::duration(wait));
    let mut entries = poll_entries(call)?;
    descriptors::poll_until(&mut entries, end)?;
    let answer = Array::new(call.ctx.clone())?;
    for (index, entry) in entries.iter().enumerate() {
        answer.set(index, entry.revents().bits())?;
    }
    call.answer(answer)
}

fn poll_entries(call: &Call<'_, '_>) -> Result<Vec<PollFd<'static>>, Failure> {
    let wrong = || Failure::Type("poll: argument 1 must be an array of { fd, events }".to_owned());
    let list = call.value(0).into_array().filter(|list| list.len() <= MOST_POLLED).ok_or_else(wrong)?;
    let mut entries = Vec::with_capacity(list.len());
    for index in 0..list.len() {
        let entry = list.get::<Value>(index)?.into_object().ok_or_else(wrong)?;
        let fd = integer(&entry.get::<_, Value>("fd")?).ok_or_else(wrong)?;
        let events = integer(&entry.get::<_, Value>("events")?).ok_or_else(wrong)?;
        let events = PollFlags::from_bits_retain(u16::try_from(events).map_err(|_| wrong())?);
        entries.push(PollFd::from_borrowed_fd(descriptors::borrow(fd)?, events));
    }
    Ok(entries)
}
