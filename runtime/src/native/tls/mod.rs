//! TLS sessions of a client over a connected socket. The socket stays JavaScript's; a session is a number, too.
//!
//! The server's certificate is always verified, against the roots that the caller gives and nothing else.

mod provider;
mod sentences;
mod settings;

use super::call::{Answer, Call};
use super::descriptors::poll_until;
use super::errors::Failure;
use super::{scratch, time};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};
use rustls::ClientConnection;
use std::cell::UnsafeCell;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

/// Most that one read may ask for.
const MOST: usize = 1 << 20;

struct Session {
    connection: ClientConnection,
    socket: Socket,
}

struct Sessions(UnsafeCell<Vec<Option<Box<Session>>>>);

// SAFETY: the process has one thread.
unsafe impl Sync for Sessions {}

/// Empty while the image is made: only a running process opens sessions.
static SESSIONS: Sessions = Sessions(UnsafeCell::new(Vec::new()));

/// # Safety
/// No other reference to the sessions may be in use.
unsafe fn sessions() -> &'static mut Vec<Option<Box<Session>>> {
    // SAFETY: the caller's; there is one thread.
    unsafe { &mut *SESSIONS.0.get() }
}

/// The connection ended before the TLS session did.
fn cut() -> Failure {
    Failure::Said { errno: Errno::CONNRESET, message: "the server cut the connection off".to_owned() }
}

/// Of a session's socket; other natives take `errno_of`.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof {
            return cut();
        }
        Errno::from_io_error(&error).unwrap_or(Errno::IO).into()
    }
}

impl From<rustls::Error> for Failure {
    fn from(error: rustls::Error) -> Self {
        let (errno, message) = sentences::of(&error);
        Failure::Said { errno, message }
    }
}

pub fn open<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (fd, name, ca) = (call.fd(0)?, call.text(1)?, call.text(2)?);
    let (certificate, key, end) = (call.text(3)?, call.text(4)?, deadline(call, 5)?);
    let wrong = |sentence| Failure::Said { errno: Errno::INVAL, message: sentence };
    let config = settings::config(&ca, &certificate, &key).map_err(wrong)?;
    let connection = ClientConnection::new(config.into(), settings::server_name(name).map_err(wrong)?)?;
    let mut session = Box::new(Session { connection, socket: Socket(fd) });
    session.shake_hands(end)?;
    // SAFETY: no other reference is in use.
    let sessions = unsafe { sessions() };
    let number = sessions.iter().position(Option::is_none).unwrap_or(sessions.len());
    if number == sessions.len() {
        sessions.push(None);
    }
    sessions[number] = Some(session);
    call.answer_number(number as f64)
}

pub fn write<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (session, data, end) = (session(call)?, call.bytes(1)?, deadline(call, 2)?);
    session.write(data, end)?;
    call.nothing()
}

pub fn read<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let (session, max, end) = (session(call)?, call.length(1, MOST)?, deadline(call, 2)?);
    scratch::with(max, |buffer| {
        buffer.resize(max, 0);
        let got = session.read(buffer, end)?;
        call.answer_bytes(&buffer[..got])
    })
}

pub fn close<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let session = session(call)?;
    session.connection.send_close_notify();
    session.send_without_waiting();
    // SAFETY: `session` is not used any more.
    unsafe { sessions()[call.length(0, usize::MAX >> 11)?] = None };
    call.nothing()
}

fn session(call: &Call<'_, '_>) -> Result<&'static mut Session, Failure> {
    let number = call.length(0, usize::MAX >> 11)?;
    // SAFETY: each native asks once, and keeps the reference until it ends at most.
    let session = unsafe { sessions() }.get_mut(number).and_then(Option::as_deref_mut);
    Ok(session.ok_or(Errno::BADF)?)
}

fn deadline(call: &Call<'_, '_>, index: usize) -> Result<Instant, Failure> {
    Ok(Instant::now() + time::duration(call.number(index)?))
}

impl Session {
    fn shake_hands(&mut self, end: Instant) -> Result<(), Failure> {
        loop {
            // What is left to send after the last message is the client's part of the handshake.
            self.send(end)?;
            if !self.connection.is_handshaking() {
                return Ok(());
            }
            if !self.receive(end)? {
                return Err(cut());
            }
        }
    }

    fn write(&mut self, data: &[u8], end: Instant) -> Result<(), Failure> {
        let mut rest = data;
        while !rest.is_empty() {
            let taken = self.connection.writer().write(rest)?;
            rest = &rest[taken..];
            self.send(end)?;
        }
        Ok(())
    }

    /// 0: the server has ended the session.
    fn read(&mut self, buffer: &mut [u8], end: Instant) -> Result<usize, Failure> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                ended => return Ok(ended?),
            }
            // An answer to the server's messages, such as new keys.
            self.send(end)?;
            self.receive(end)?;
        }
    }

    fn send(&mut self, end: Instant) -> Result<(), Failure> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.socket.wait(PollFlags::OUT, end)?,
                ended => _ = ended?,
            }
        }
        Ok(())
    }

    /// For what says goodbye: whether the server hears it changes nothing.
    fn send_without_waiting(&mut self) {
        while self.connection.wants_write() && self.connection.write_tls(&mut self.socket).is_ok() {}
    }

    /// Takes in what has come. False: nothing more comes.
    fn receive(&mut self, end: Instant) -> Result<bool, Failure> {
        loop {
            let got = match self.connection.read_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.wait(PollFlags::IN, end)?;
                    continue;
                }
                ended => ended?,
            };
            if let Err(error) = self.connection.process_new_packets() {
                // The alert that tells the server why.
                self.send_without_waiting();
                return Err(error.into());
            }
            return Ok(got > 0);
        }
    }
}

/// Never waits, whether or not the descriptor is non-blocking.
struct Socket(BorrowedFd<'static>);

impl Socket {
    fn wait(&self, ready: PollFlags, end: Instant) -> Result<(), Errno> {
        match poll_until(&mut [PollFd::new(&self.0, ready)], Some(end))? {
            0 => Err(Errno::TIMEDOUT),
            _ => Ok(()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(retry_on_intr(|| rustix::net::recv(self.0, &mut *buffer, RecvFlags::DONTWAIT))?.0)
    }
}

impl Write for Socket {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        Ok(retry_on_intr(|| rustix::net::send(self.0, data, SendFlags::DONTWAIT))?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
