//! What a native function throws: a system error with errno, code, call and path, or a TypeError.

use rquickjs::{Ctx, Error, Exception, qjs};
use rustix::io::Errno;

pub enum Failure {
    /// A system call refused.
    System { errno: Errno, call: &'static str, path: Option<String> },
    /// The caller passed something else than native.d.ts says.
    Type(String),
    /// The engine has an exception pending.
    Thrown,
}

impl Failure {
    pub fn system(errno: Errno, call: &'static str, path: Option<String>) -> Self {
        Failure::System { errno, call, path }
    }

    /// Makes the exception pending.
    pub fn throw(self, ctx: &Ctx<'_>) -> qjs::JSValue {
        // What comes back is only "there is an exception": this one, or out of memory while it was being made.
        let _pending = match self {
            Failure::System { errno, call, path } => throw_system(ctx, errno, call, path).err(),
            Failure::Type(message) => Some(Exception::throw_type(ctx, &message)),
            Failure::Thrown => None,
        };
        qjs::JS_EXCEPTION
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

fn throw_system(ctx: &Ctx<'_>, errno: Errno, call: &'static str, path: Option<String>) -> rquickjs::Result<()> {
    let code = code(errno);
    let message = match &path {
        Some(path) => format!("{call} {path}: {} ({code})", sentence(errno)),
        None => format!("{call}: {} ({code})", sentence(errno)),
    };
    let exception = Exception::from_message(ctx.clone(), &message)?;
    exception.set("errno", errno.raw_os_error())?;
    exception.set("code", code)?;
    exception.set("call", call)?;
    if let Some(path) = path {
        exception.set("path", path)?;
    }
    Err(exception.throw())
}

/// strerror(3) with a small first letter.
fn sentence(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    // std adds " (os error 2)".
    let mut text = text.split(" (os error").next().unwrap_or_default().to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

macro_rules! codes {
    ($($name:ident)*) => {
        /// The errno's name, such as "ENOENT".
        fn code(errno: Errno) -> String {
            match errno.raw_os_error() {
                $(libc::$name => stringify!($name).to_owned(),)*
                other => format!("E{other}"),
            }
        }
    };
}

// asm-generic/errno-base.h and errno.h, in their order; EAGAIN, EDEADLK and EOPNOTSUPP have second names in C.
codes! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
    EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI
    EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK
    EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX
    ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT
    ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET
    ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN
    EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE
    ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
}
