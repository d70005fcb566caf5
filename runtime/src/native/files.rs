//! Files: open, read, write, status.

use super::call::{Answer, Call};
use super::descriptors::transfer;
use super::errors::{Failure, Refused, if_there};
use super::scratch;
use rquickjs::{Object, Value};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::CStr;

/// A single read asks for no more than this, whatever `max` says.
const MOST: usize = 1 << 20;
/// First guess for a whole file: one page holds nearly every file of sysfs, procfs and our state.
const FIRST: usize = 4096;
/// Largest number of bytes that JavaScript may ask for: 4 GiB.
const ANY: usize = 1 << 32;

pub fn openat<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (directory, path) = (call.directory(0)?, call.path(1)?);
    let flags = OFlags::from_bits_retain(call.bits(2)?) | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(call.bits(3)?);
    let fd = retry_on_intr(|| rustix::fs::openat(directory, &path, flags, mode)).at(&path)?;
    call.answer_number(call.keep(fd)?)
}

pub fn close<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let fd = call.fd(0)?;
    // SAFETY: JavaScript owns the number and gives it up here.
    match unsafe { rustix::io::try_close(fd.as_raw_fd()) } {
        // Linux has closed it even when a signal came in between.
        Ok(()) | Err(Errno::INTR) => call.nothing(),
        Err(errno) => Err(errno.into()),
    }
}

pub fn read<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let fd = call.fd(0)?;
    let max = call.length(1, ANY)?.min(MOST);
    scratch::with(max, |buffer| {
        // The buffer may have more room than was asked for.
        let room = &mut buffer.spare_capacity_mut()[..max];
        let got = transfer(fd, PollFlags::IN, || rustix::io::read(fd, &mut *room).map(|(got, _)| got.len()))?;
        // SAFETY: the kernel wrote that many bytes.
        unsafe { buffer.set_len(got) };
        call.answer_bytes(buffer)
    })
}

pub fn read_all<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let fd = call.fd(0)?;
    let max = call.length(1, ANY)?;
    scratch::with(FIRST, |buffer| {
        let read = |room: &mut Vec<u8>| transfer(fd, PollFlags::IN, || read_some(fd, room));
        read_to_end(buffer, max, read)?;
        call.answer_bytes(buffer)
    })
}

pub fn read_file<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(0)?;
    read_opened(call, &path, open_to_read(&path).by("open", &path)?)
}

pub fn read_file_if_present<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(0)?;
    match if_there(open_to_read(&path)).by("open", &path)? {
        Some(fd) => read_opened(call, &path, fd),
        None => call.nothing(),
    }
}

/// Never waits: where a file is expected, a FIFO may be.
pub fn open_to_read(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))
}

fn read_opened<'js>(call: &Call<'_, 'js>, path: &CStr, fd: OwnedFd) -> Answer<'js> {
    let max = call.length(1, ANY)?;
    scratch::with(FIRST, |buffer| {
        let read = |room: &mut Vec<u8>| retry_on_intr(|| read_some(&fd, room));
        let read = read_to_end(buffer, max, read).and_then(|()| require_content(&fd, buffer));
        // What would have to be waited for is no file: the same as open(2) says of a socket.
        read.map_err(|errno| if errno == Errno::AGAIN { Errno::NXIO } else { errno }).by("read", path)?;
        call.answer_bytes(buffer)
    })
}

/// Nothing to read is what an empty file says, and a FIFO that nobody writes to, which counts as a socket does.
fn require_content(fd: &OwnedFd, content: &[u8]) -> Result<(), Errno> {
    let is_file = !content.is_empty() || FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode).is_file();
    if is_file { Ok(()) } else { Err(Errno::NXIO) }
}

/// Adds to `buffer` what fits into the room that it has, and at most doubles what is there: procfs makes zeros of as
/// much as is asked for, and takes no request of 4 MiB (ENOMEM).
pub fn read_some(fd: impl AsFd, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    let (length, spare) = (buffer.len(), buffer.spare_capacity_mut());
    let room = spare.len().min(length.clamp(FIRST, MOST));
    let got = rustix::io::read(fd, &mut spare[..room])?.0.len();
    // SAFETY: the kernel wrote that many bytes.
    unsafe { buffer.set_len(length + got) };
    Ok(got)
}

fn read_to_end(
    buffer: &mut Vec<u8>,
    max: usize,
    mut read: impl FnMut(&mut Vec<u8>) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    loop {
        if buffer.len() == buffer.capacity() {
            buffer.try_reserve(buffer.len().clamp(FIRST, MOST)).map_err(|_| Errno::NOMEM)?;
        }
        if read(buffer)? == 0 {
            return Ok(());
        }
        if buffer.len() > max {
            return Err(Errno::FBIG);
        }
    }
}

pub fn write<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let fd = call.fd(0)?;
    let text;
    let mut rest = if call.value(1).is_string() {
        text = call.text(1)?;
        text.as_bytes()
    } else {
        call.bytes(1)?
    };
    while !rest.is_empty() {
        let written = transfer(fd, PollFlags::OUT, || rustix::io::write(fd, rest))?;
        rest = &rest[written..];
    }
    call.nothing()
}

pub fn fsync<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let fd = call.fd(0)?;
    retry_on_intr(|| rustix::fs::fsync(fd))?;
    call.nothing()
}

pub fn fchmod<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, mode) = (call.fd(0)?, Mode::from_raw_mode(call.bits(1)?));
    retry_on_intr(|| rustix::fs::fchmod(fd, mode))?;
    call.nothing()
}

pub fn fstat<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let status = rustix::fs::fstat(call.fd(0)?)?;
    answer_status(call, &status)
}

pub fn statat<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (directory, path) = (call.directory(0)?, call.path(1)?);
    let flags = if call.boolean(2)? { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    // An exception costs as much as 1 KB of code to read, and looking whether a file is there is no failure.
    match if_there(rustix::fs::statat(directory, &path, flags)).at(&path)? {
        Some(status) => answer_status(call, &status),
        None => call.nothing(),
    }
}

pub fn is_same_file<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let identity = |index| -> Result<Option<(u64, u64)>, Failure> {
        let status = if call.value(index).is_string() {
            let path = call.path(index)?;
            if_there(rustix::fs::stat(&path)).by("stat", &path)?
        } else {
            Some(rustix::fs::fstat(call.fd(index)?)?)
        };
        Ok(status.map(|status| (status.st_dev, status.st_ino)))
    };
    let (first, second) = (identity(0)?, identity(1)?);
    call.answer(first.is_some() && first == second)
}

fn answer_status<'js>(call: &Call<'_, 'js>, status: &Stat) -> Answer<'js> {
    let object = Object::new(call.ctx.clone())?;
    let number = |value| Value::new_number(call.ctx.clone(), value);
    object.set("dev", number(status.st_dev as f64))?;
    object.set("ino", number(exact(status.st_ino)))?;
    object.set("mode", number(f64::from(status.st_mode)))?;
    object.set("size", number(status.st_size as f64))?;
    object.set("mtimeMs", number(status.st_mtime as f64 * 1000.0 + status.st_mtime_nsec as f64 / 1e6))?;
    object.set("ctimeMs", number(status.st_ctime as f64 * 1000.0 + status.st_ctime_nsec as f64 / 1e6))?;
    call.answer(object)
}

/// A number that differs where inode numbers differ. A JavaScript number is exact up to 53 bits; overlayfs ("xino")
/// marks the layer in the highest bits above a small number, and rounding would make two files look the same. So the
/// highest eleven bits are folded onto bits 42 to 52, which such numbers leave unused.
fn exact(inode: u64) -> f64 {
    const EXACT_BITS: u32 = 53;
    let (high, low) = (inode >> EXACT_BITS, inode & ((1 << EXACT_BITS) - 1));
    (low ^ (high << 42)) as f64
}

pub fn set_modified<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (directory, path) = (call.directory(0)?, call.path(1)?);
    let milliseconds = call.length(2, 1 << 53)? as i64;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: milliseconds / 1000,
            // The type is that of the C library: it differs from one machine to another.
            tv_nsec: (milliseconds % 1000 * 1_000_000) as _,
        },
    };
    rustix::fs::utimensat(directory, &path, &times, AtFlags::empty()).by("utimensat", &path)?;
    call.nothing()
}

pub fn file_system_type<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let status = rustix::fs::fstatfs(call.fd(0)?)?;
    call.answer_number(status.f_type as f64)
}
