//! Names in directories: rename, link, unlink, make, list.

use super::call::{Answer, Call};
use super::errors::{Refused, if_there};
use super::{scratch, utf8};
use rquickjs::Array;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::CStr;

/// Room for the kernel's directory entries, 32 KiB as glibc takes.
const ENTRIES: usize = 32 << 10;

pub fn renameat<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (from, to) = (call.path(1)?, call.path(3)?);
    rustix::fs::renameat(call.directory(0)?, &from, call.directory(2)?, &to).at(&from)?;
    call.nothing()
}

/// As renameat, but a file that has the new name is never replaced: false where there is one.
pub fn rename_new<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (from, to) = (call.path(1)?, call.path(3)?);
    let (from_dir, to_dir) = (call.directory(0)?, call.directory(2)?);
    let renamed = match rustix::fs::renameat_with(from_dir, &from, to_dir, &to, RenameFlags::NOREPLACE) {
        // The file system, or the kernel, does not know of it.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::linkat(from_dir, &from, to_dir, &to, AtFlags::empty())
            .and_then(|()| rustix::fs::unlinkat(from_dir, &from, AtFlags::empty())),
        other => other,
    };
    answer_unless(call, Errno::EXIST, renamed, &to)
}

pub fn linkat<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (from, to) = (call.path(1)?, call.path(3)?);
    rustix::fs::linkat(call.directory(0)?, &from, call.directory(2)?, &to, AtFlags::empty()).at(&to)?;
    call.nothing()
}

/// Gives an open file a name, whatever others it has by now. False where the name is taken.
pub fn link_fd<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, directory, path) = (call.fd(0)?, call.directory(1)?, call.path(2)?);
    // Root may by the descriptor alone; others need /proc.
    let linked = rustix::fs::linkat(fd, "", directory, &path, AtFlags::EMPTY_PATH).or_else(|errno| match errno {
        Errno::NOENT | Errno::PERM => {
            let own = format!("/proc/self/fd/{}", fd.as_raw_fd());
            rustix::fs::linkat(rustix::fs::CWD, own, directory, &path, AtFlags::SYMLINK_FOLLOW)
        }
        _ => Err(errno),
    });
    answer_unless(call, Errno::EXIST, linked, &path)
}

pub fn unlinkat<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(1)?;
    let removed = rustix::fs::unlinkat(call.directory(0)?, &path, AtFlags::from_bits_retain(call.bits(2)?));
    answer_unless(call, Errno::NOENT, removed, &path)
}

/// Whether it was done: false where the kernel says `reason`.
fn answer_unless<'js>(call: &Call<'_, 'js>, reason: Errno, done: Result<(), Errno>, path: &CStr) -> Answer<'js> {
    match done {
        Err(errno) if errno == reason => call.answer(false),
        done => call.answer(done.map(|()| true).at(path)?),
    }
}

pub fn mkdirat<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(1)?;
    rustix::fs::mkdirat(call.directory(0)?, &path, Mode::from_raw_mode(call.bits(2)?)).at(&path)?;
    call.nothing()
}

pub fn readlinkat<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(1)?;
    let target = rustix::fs::readlinkat(call.directory(0)?, &path, Vec::new()).at(&path)?;
    utf8::answer(call, target.as_bytes())
}

pub fn readlink_if_present<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(1)?;
    match if_there(rustix::fs::readlinkat(call.directory(0)?, &path, Vec::new())).by("readlinkat", &path)? {
        Some(target) => utf8::answer(call, target.as_bytes()),
        None => call.nothing(),
    }
}

pub fn read_directory<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(0)?;
    read_opened(call, &path, &open_directory(&path).by("open", &path)?)
}

pub fn read_directory_if_present<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let path = call.path(0)?;
    match if_there(open_directory(&path)).by("open", &path)? {
        Some(fd) => read_opened(call, &path, &fd),
        None => call.nothing(),
    }
}

fn open_directory(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))
}

fn read_opened<'js>(call: &Call<'_, 'js>, path: &CStr, fd: &OwnedFd) -> Answer<'js> {
    let names = Array::new(call.ctx.clone())?;
    let mut count = 0;
    scratch::with(ENTRIES, |buffer| {
        let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.by("getdents64", path)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.set(count, utf8::answer(call, name)?)?;
                count += 1;
            }
        }
        call.answer(names)
    })
}
