//! What a native function throws: a system error with errno, code, call and path, or a TypeError.

use rquickjs::{Ctx, Error, Exception, Object, Value, qjs};
use rustix::io::Errno;
use std::borrow::Cow;
use std::ffi::CStr;

pub enum Failure {
    /// A system call refused: `call`, or the one that the native function is called after.
    System { errno: Errno, call: Option<&'static str>, path: Option<String> },
    /// The same where an errno says too little.
    Said { errno: Errno, message: String },
    /// The caller passed something else than native.d.ts says.
    Type(String),
    /// The engine has an exception pending.
    Thrown,
}

impl Failure {
    /// Makes the exception pending. `function`: the native one.
    pub fn throw(self, ctx: &Ctx<'_>, function: &'static str) -> qjs::JSValue {
        // What comes back is only "there is an exception": this one, or out of memory while it was being made.
        let _pending = match self {
            Failure::System { errno, call, path } => {
                let (call, (code, text)) = (call.unwrap_or(function), describe(errno));
                let message = match &path {
                    Some(path) => format!("{call} {path}: {text} ({code})"),
                    None => format!("{call}: {text} ({code})"),
                };
                throw_system(ctx, errno, call, path, &message).err()
            }
            Failure::Said { errno, message } => throw_system(ctx, errno, function, None, &message).err(),
            Failure::Type(message) => Some(Exception::throw_type(ctx, &message)),
            Failure::Thrown => None,
        };
        qjs::JS_EXCEPTION
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::System { errno, call: None, path: None }
    }
}

/// Says what the kernel refused to do with.
pub trait Refused<T> {
    fn at(self, path: &CStr) -> Result<T, Failure>;
    /// `call`: the system call, where the native function is not called after it.
    fn by(self, call: &'static str, path: &CStr) -> Result<T, Failure>;
}

impl<T> Refused<T> for Result<T, Errno> {
    fn at(self, path: &CStr) -> Result<T, Failure> {
        self.map_err(|errno| Failure::System { errno, call: None, path: Some(path.to_string_lossy().into()) })
    }

    fn by(self, call: &'static str, path: &CStr) -> Result<T, Failure> {
        self.map_err(|errno| Failure::System { errno, call: Some(call), path: Some(path.to_string_lossy().into()) })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Exception => Failure::Thrown,
            other => Failure::Type(other.to_string()),
        }
    }
}

/// Of what std refused.
pub fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::INVAL)
}

/// None where there is nothing at the path.
pub fn if_there<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        result => result.map(Some),
    }
}

fn throw_system(
    ctx: &Ctx<'_>,
    errno: Errno,
    call: &'static str,
    path: Option<String>,
    message: &str,
) -> rquickjs::Result<()> {
    let error = new_error(ctx)?;
    error.set("message", message)?;
    error.set("errno", errno.raw_os_error())?;
    error.set("code", &*describe(errno).0)?;
    error.set("call", call)?;
    if let Some(path) = path {
        error.set("path", path)?;
    }
    Err(ctx.throw(error.into_value()))
}

/// An Error whose stack trace is "": one takes longer than the system call, and an errno is an answer, no bug. Where it
/// has one, be it empty, the engine makes none when it leaves a function.
fn new_error<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
    let constructor: Object = ctx.globals().get("Error")?;
    constructor.set("stackTraceLimit", 0)?;
    // SAFETY: the engine's context; the value is ours.
    let error = unsafe { Value::from_raw(ctx.clone(), qjs::JS_NewError(ctx.as_raw().as_ptr())) };
    constructor.set("stackTraceLimit", STACK_TRACE_LIMIT)?;
    error.into_object().ok_or(Error::Exception)
}

/// Functions in the stack trace of a bug: the engine's own limit.
const STACK_TRACE_LIMIT: i32 = 10;

macro_rules! errors {
    ($($name:ident $text:literal)*) => {
        /// The errno's name and what it means: "ENOENT", "no such file or directory".
        pub fn describe(errno: Errno) -> (Cow<'static, str>, Cow<'static, str>) {
            match errno.raw_os_error() {
                $(libc::$name => (stringify!($name).into(), $text.into()),)*
                other => (format!("E{other}").into(), format!("error {other}").into()),
            }
        }
    };
}

// asm-generic/errno-base.h and errno.h, in their order; EAGAIN, EDEADLK and EOPNOTSUPP have second names in C. The
// texts are those that people search for, glibc's, with a small first letter: another C library's strerror(3) has other
// ones.
errors! {
    EPERM "operation not permitted"
    ENOENT "no such file or directory"
    ESRCH "no such process"
    EINTR "interrupted system call"
    EIO "input/output error"
    ENXIO "no such device or address"
    E2BIG "argument list too long"
    ENOEXEC "exec format error"
    EBADF "bad file descriptor"
    ECHILD "no child processes"
    EAGAIN "resource temporarily unavailable"
    ENOMEM "cannot allocate memory"
    EACCES "permission denied"
    EFAULT "bad address"
    ENOTBLK "block device required"
    EBUSY "device or resource busy"
    EEXIST "file exists"
    EXDEV "invalid cross-device link"
    ENODEV "no such device"
    ENOTDIR "not a directory"
    EISDIR "is a directory"
    EINVAL "invalid argument"
    ENFILE "too many open files in system"
    EMFILE "too many open files"
    ENOTTY "inappropriate ioctl for device"
    ETXTBSY "text file busy"
    EFBIG "file too large"
    ENOSPC "no space left on device"
    ESPIPE "illegal seek"
    EROFS "read-only file system"
    EMLINK "too many links"
    EPIPE "broken pipe"
    EDOM "numerical argument out of domain"
    ERANGE "numerical result out of range"
    EDEADLK "resource deadlock avoided"
    ENAMETOOLONG "file name too long"
    ENOLCK "no locks available"
    ENOSYS "function not implemented"
    ENOTEMPTY "directory not empty"
    ELOOP "too many levels of symbolic links"
    ENOMSG "no message of desired type"
    EIDRM "identifier removed"
    ECHRNG "channel number out of range"
    EL2NSYNC "level 2 not synchronized"
    EL3HLT "level 3 halted"
    EL3RST "level 3 reset"
    ELNRNG "link number out of range"
    EUNATCH "protocol driver not attached"
    ENOCSI "no CSI structure available"
    EL2HLT "level 2 halted"
    EBADE "invalid exchange"
    EBADR "invalid request descriptor"
    EXFULL "exchange full"
    ENOANO "no anode"
    EBADRQC "invalid request code"
    EBADSLT "invalid slot"
    EBFONT "bad font file format"
    ENOSTR "device not a stream"
    ENODATA "no data available"
    ETIME "timer expired"
    ENOSR "out of streams resources"
    ENONET "machine is not on the network"
    ENOPKG "package not installed"
    EREMOTE "object is remote"
    ENOLINK "link has been severed"
    EADV "advertise error"
    ESRMNT "srmount error"
    ECOMM "communication error on send"
    EPROTO "protocol error"
    EMULTIHOP "multihop attempted"
    EDOTDOT "RFS specific error"
    EBADMSG "bad message"
    EOVERFLOW "value too large for defined data type"
    ENOTUNIQ "name not unique on network"
    EBADFD "file descriptor in bad state"
    EREMCHG "remote address changed"
    ELIBACC "can not access a needed shared library"
    ELIBBAD "accessing a corrupted shared library"
    ELIBSCN ".lib section in a.out corrupted"
    ELIBMAX "attempting to link in too many shared libraries"
    ELIBEXEC "cannot exec a shared library directly"
    EILSEQ "invalid or incomplete multibyte or wide character"
    ERESTART "interrupted system call should be restarted"
    ESTRPIPE "streams pipe error"
    EUSERS "too many users"
    ENOTSOCK "socket operation on non-socket"
    EDESTADDRREQ "destination address required"
    EMSGSIZE "message too long"
    EPROTOTYPE "protocol wrong type for socket"
    ENOPROTOOPT "protocol not available"
    EPROTONOSUPPORT "protocol not supported"
    ESOCKTNOSUPPORT "socket type not supported"
    EOPNOTSUPP "operation not supported"
    EPFNOSUPPORT "protocol family not supported"
    EAFNOSUPPORT "address family not supported by protocol"
    EADDRINUSE "address already in use"
    EADDRNOTAVAIL "cannot assign requested address"
    ENETDOWN "network is down"
    ENETUNREACH "network is unreachable"
    ENETRESET "network dropped connection on reset"
    ECONNABORTED "software caused connection abort"
    ECONNRESET "connection reset by peer"
    ENOBUFS "no buffer space available"
    EISCONN "transport endpoint is already connected"
    ENOTCONN "transport endpoint is not connected"
    ESHUTDOWN "cannot send after transport endpoint shutdown"
    ETOOMANYREFS "too many references: cannot splice"
    ETIMEDOUT "connection timed out"
    ECONNREFUSED "connection refused"
    EHOSTDOWN "host is down"
    EHOSTUNREACH "no route to host"
    EALREADY "operation already in progress"
    EINPROGRESS "operation now in progress"
    ESTALE "stale file handle"
    EUCLEAN "structure needs cleaning"
    ENOTNAM "not a XENIX named type file"
    ENAVAIL "no XENIX semaphores available"
    EISNAM "is a named type file"
    EREMOTEIO "remote I/O error"
    EDQUOT "disk quota exceeded"
    ENOMEDIUM "no medium found"
    EMEDIUMTYPE "wrong medium type"
    ECANCELED "operation canceled"
    ENOKEY "required key not available"
    EKEYEXPIRED "key has expired"
    EKEYREVOKED "key has been revoked"
    EKEYREJECTED "key was rejected by service"
    EOWNERDEAD "owner died"
    ENOTRECOVERABLE "state not recoverable"
    ERFKILL "operation not possible due to RF-kill"
    EHWPOISON "memory page has hardware error"
}
