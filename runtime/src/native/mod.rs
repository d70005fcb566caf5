//! The module `native:sys` (lib/sys/native.d.ts says what each function does): one flat table of functions.

mod address;
mod attributes;
mod call;
mod deadline;
mod descriptors;
mod digest;
mod directories;
mod environment;
mod errors;
mod files;
mod json;
mod locks;
mod namespaces;
mod processes;
mod random;
mod scratch;
mod signals;
mod sockets;
mod text;
mod time;
mod tls;
mod utf8;

pub use call::take;

use call::{Answer, Call};
use errors::Failure;
use rquickjs::{Ctx, qjs};
use std::ffi::{CStr, c_int};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy)]
struct Native {
    name: &'static CStr,
    /// The answer depends on nothing but the arguments: it may be called while modules are evaluated.
    is_pure: bool,
    /// `length` of the function: how many arguments it takes.
    arguments: c_int,
    run: for<'a, 'js> fn(&Call<'a, 'js>) -> Answer<'js>,
}

macro_rules! natives {
    ($($name:literal $arguments:literal $run:path $(; $pure:ident)?,)*) => {
        &[$(Native { name: $name, is_pure: natives!(@ $($pure)?), arguments: $arguments, run: $run },)*]
    };
    (@) => { false };
    (@ pure) => { true };
}

const LIST: &[Native] = natives![
    c"args" 0 environment::args,
    c"variable" 1 environment::variable,
    c"exit" 1 environment::exit,
    c"pid" 0 environment::pid,
    c"engine" 0 environment::engine,
    c"monotonicMs" 0 time::monotonic_ms,
    c"boottimeMs" 0 time::boottime_ms,
    c"realtimeMs" 0 time::realtime_ms,
    c"sleepMs" 1 time::sleep_ms,
    c"random" 1 random::random,
    c"encodeUtf8" 1 utf8::encode_utf8; pure,
    c"decodeUtf8" 1 utf8::decode_utf8; pure,
    c"mayRepeatKeys" 1 json::may_repeat_keys; pure,
    c"formatJson" 2 json::format_json; pure,
    c"isCanonicalIp" 1 address::is_canonical_ip; pure,
    c"isCanonicalCidr" 1 address::is_canonical_cidr; pure,
    c"areCanonical" 2 address::are_canonical; pure,
    c"formatAddress" 3 address::format_address; pure,
    c"attributeValues" 5 attributes::attribute_values; pure,
    c"attributeRows" 4 attributes::attribute_rows; pure,
    c"describeErrno" 1 attributes::describe_errno; pure,
    c"openat" 4 files::openat,
    c"close" 1 files::close,
    c"read" 2 files::read,
    c"readAll" 2 files::read_all,
    c"readFile" 2 files::read_file,
    c"readFileIfPresent" 2 files::read_file_if_present,
    c"write" 2 files::write,
    c"fsync" 1 files::fsync,
    c"terminalColumns" 1 descriptors::terminal_columns,
    c"fchmod" 2 files::fchmod,
    c"fstat" 1 files::fstat,
    c"sha256" 1 digest::sha256,
    c"statat" 3 files::statat,
    c"isSameFile" 2 files::is_same_file,
    c"setModified" 3 files::set_modified,
    c"fileSystemType" 1 files::file_system_type,
    c"renameat" 4 directories::renameat,
    c"renameNew" 4 directories::rename_new,
    c"linkat" 4 directories::linkat,
    c"linkFd" 3 directories::link_fd,
    c"unlinkat" 3 directories::unlinkat,
    c"mkdirat" 3 directories::mkdirat,
    c"readlinkat" 2 directories::readlinkat,
    c"readlinkIfPresent" 2 directories::readlink_if_present,
    c"readDirectory" 1 directories::read_directory,
    c"readDirectoryIfPresent" 1 directories::read_directory_if_present,
    c"flock" 3 locks::flock,
    c"setns" 2 namespaces::setns,
    c"unshare" 1 namespaces::unshare,
    c"socket" 3 sockets::socket,
    c"bind" 2 sockets::bind,
    c"connect" 2 sockets::connect,
    c"listen" 2 sockets::listen,
    c"accept" 1 sockets::accept,
    c"send" 3 sockets::send,
    c"sendTo" 4 sockets::send_to,
    c"receive" 3 sockets::receive,
    c"setSocketOption" 4 sockets::set_option,
    c"attachFilter" 2 sockets::attach_filter,
    c"getSocketOption" 4 sockets::get_option,
    c"socketName" 1 sockets::name,
    c"poll" 2 sockets::poll,
    c"tlsOpen" 6 tls::open,
    c"tlsWrite" 3 tls::write,
    c"tlsRead" 3 tls::read,
    c"tlsClose" 1 tls::close,
    c"signalFd" 1 signals::signal_fd,
    c"spawn" 1 processes::spawn,
    c"detach" 1 processes::detach,
];

/// The list under a name that the linker knows, of which a slice's content has none: each call reads it
/// (runtime/first.ld).
static NATIVES: [Native; LIST.len()] = *LIST.first_chunk().expect("it has that length");

/// While modules are evaluated, whose outcome becomes the image, nothing may be asked that another process would be
/// told otherwise.
static PURE_ONLY: AtomicBool = AtomicBool::new(false);

pub fn set_pure_only(only: bool) {
    PURE_ONLY.store(only, Ordering::Relaxed);
}

/// Declares the module to the engine. Null: an exception is pending.
pub fn declare(ctx: &Ctx<'_>) -> *mut qjs::JSModuleDef {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the names are static; `initialize` is what the engine calls to fill the exports.
    unsafe {
        let module = qjs::JS_NewCModule(raw, c"native:sys".as_ptr(), Some(initialize));
        if module.is_null() {
            return null_mut();
        }
        for native in &NATIVES {
            if qjs::JS_AddModuleExport(raw, module, native.name.as_ptr()) < 0 {
                return null_mut();
            }
        }
        module
    }
}

unsafe extern "C" fn initialize(raw: *mut qjs::JSContext, module: *mut qjs::JSModuleDef) -> c_int {
    let kind = qjs::JSCFunctionEnum_JS_CFUNC_generic_magic;
    for (index, native) in NATIVES.iter().enumerate() {
        // SAFETY: a function of kind "generic magic" is called with one more argument than the declared type says;
        // `dispatch` takes it. The engine reads the pointer by its kind (a union, in C).
        let status = unsafe {
            let run = std::mem::transmute::<qjs::JSCFunctionMagic, qjs::JSCFunction>(Some(dispatch));
            let value = qjs::JS_NewCFunction2(raw, run, native.name.as_ptr(), native.arguments, kind, index as c_int);
            // The value, or the failure to make one, is the export's from here.
            qjs::JS_SetModuleExport(raw, module, native.name.as_ptr(), value)
        };
        if status < 0 {
            return -1;
        }
    }
    0
}

/// Every call from JavaScript comes through here.
unsafe extern "C" fn dispatch(
    raw: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    arguments: *mut qjs::JSValue,
    magic: c_int,
) -> qjs::JSValue {
    // SAFETY: the engine passes its context, and `count` values that stay alive during the call.
    let (ctx, arguments) = unsafe {
        let arguments = if count > 0 { std::slice::from_raw_parts(arguments, count as usize) } else { &[] };
        (Ctx::from_raw(NonNull::new_unchecked(raw)), arguments)
    };
    let Some(native) = usize::try_from(magic).ok().and_then(|index| NATIVES.get(index)) else {
        return qjs::JS_UNDEFINED;
    };
    let call = Call::new(&ctx, native.name, arguments);
    if PURE_ONLY.load(Ordering::Relaxed) && !native.is_pure {
        let sentence = format!("{} is called while modules are evaluated: it must be in a function", call.name());
        return Failure::Type(sentence).throw(&ctx, call.name());
    }
    match (native.run)(&call) {
        Ok(value) => call::give(value),
        Err(failure) => failure.throw(&ctx, call.name()),
    }
}
