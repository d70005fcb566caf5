//! The JavaScript engine: started with only the parts that the applets use, ended without being taken down.

use crate::heap::Heap;
use crate::{BUG, modules, native};
use rquickjs::context::intrinsic::{Json, MapSet, Promise, RegExp, RegExpCompiler, TypedArrays};
use rquickjs::{CatchResultExt, CaughtError, Context, Runtime, qjs};
use std::ffi::CStr;

/// What the applets may use beside the base objects. Not there: eval, Date, Proxy, WeakRef, Performance, DOMException.
/// Promise is for the engine: evaluating a module makes one.
type Intrinsics = (Json, MapSet, Promise, RegExp, RegExpCompiler, TypedArrays);

/// A configuration of 10 MB takes up to a quarter of this; what takes more fails with an error, and the host lives.
const MEMORY_LIMIT: usize = 256 << 20;
/// The collector, which is needed for cycles only, starts beyond this: no verb gets there, a daemon may.
const COLLECTOR_THRESHOLD: usize = 16 << 20;
/// Deeply nested JSON fails with an error beyond this, long before the kernel's usual 8 MiB.
const STACK_LIMIT: usize = 1 << 20;

/// Evaluates an embedded module and ends the process.
pub fn run(index: usize) -> ! {
    let context = match start() {
        Ok(context) => context,
        Err(error) => {
            eprintln!("berth: the JavaScript engine does not start: {error}");
            native::exit_now(BUG)
        }
    };
    let status = context.with(|ctx| {
        modules::install_loader(&ctx);
        match modules::evaluate(&ctx, index).catch(&ctx) {
            Ok(_) => 0,
            Err(error) => {
                report(&error);
                BUG
            }
        }
    });
    native::exit_now(status)
}

fn start() -> rquickjs::Result<Context> {
    let runtime = Runtime::new_with_alloc(Heap::new())?;
    runtime.set_memory_limit(MEMORY_LIMIT);
    runtime.set_gc_threshold(COLLECTOR_THRESHOLD);
    runtime.set_max_stack_size(STACK_LIMIT);
    Context::custom::<Intrinsics>(&runtime)
}

fn report(error: &CaughtError<'_>) {
    match error {
        CaughtError::Exception(exception) => {
            eprintln!("berth: uncaught: {}", exception.message().unwrap_or_default());
            // Of places the engine knows nothing: bundles have no lines.
            eprint!("{}", exception.stack().unwrap_or_default().replace(" (<null>:0:1)", ""));
        }
        // What the engine throws where it has no memory left for an error object.
        CaughtError::Value(value) if value.is_null() => eprintln!("berth: uncaught: out of memory"),
        other => eprintln!("berth: uncaught: {other}"),
    }
}

/// The engine's version, such as "0.16.2".
pub fn version() -> String {
    // SAFETY: returns a static NUL-terminated string.
    unsafe { CStr::from_ptr(qjs::JS_GetVersion()) }.to_string_lossy().into_owned()
}
