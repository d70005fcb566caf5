//! The JavaScript engine: made with only the parts that the applets use, entered by one function, ended without being
//! taken down.
//!
//! It is made by the build (image.rs); where an executable has no image, each process makes it anew, by the same
//! function.

use crate::end::{BUG, exit_now, say};
use crate::memory::{self, Roots};
use crate::native;
use rquickjs::{CatchResultExt, CaughtError, Ctx, Error, Exception, Result, Value, qjs};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};

/// A configuration of 10 MB takes up to a quarter of this; what takes more fails with an error, and the host lives.
const MEMORY_LIMIT: u64 = 256 << 20;
/// The collector, which is needed for cycles only, starts beyond this: no verb gets there, a daemon may.
const COLLECTOR_THRESHOLD: u64 = 16 << 20;
/// Deeply nested JSON fails with an error beyond this, long before the kernel's usual 8 MiB; under a smaller limit,
/// beyond half of what that leaves.
const STACK_LIMIT: usize = 1 << 20;

/// Runs `main` of the embedded module and ends the process.
pub fn run() -> ! {
    // SAFETY: no reference outlives the line.
    let roots = unsafe { memory::head().roots };
    // SAFETY: the engine has been made, and is used by this thread only.
    let status = unsafe {
        qjs::JS_UpdateStackTop(roots.runtime);
        qjs::JS_SetMaxStackSize(roots.runtime, stack_limit() as u64);
        let ctx = context(roots);
        let raw = qjs::JS_Call(roots.context, roots.main, qjs::JS_UNDEFINED, 0, null_mut());
        status(&ctx, native::take(&ctx, raw))
    };
    exit_now(status)
}

/// Makes the engine, which calls `functions` for its memory, and evaluates the module in `bytecode`. Ends the process
/// where that fails.
pub fn make_or_end(bytecode: &[u8], functions: &'static qjs::JSMallocFunctions) {
    let Some(roots) = make_runtime(functions) else {
        say(format_args!("the JavaScript engine does not start: out of memory"));
        exit_now(BUG)
    };
    // SAFETY: the engine has just been made.
    let ctx = unsafe { context(roots) };
    native::set_pure_only(true);
    let main = evaluate(&ctx, bytecode);
    native::set_pure_only(false);
    match main {
        // SAFETY: no other reference is in use. The value stays for ever.
        Ok(main) => unsafe {
            memory::head().roots = Roots { main: qjs::JS_DupValue(roots.context, main.as_raw()), ..roots };
        },
        Err(error) => {
            status(&ctx, Err::<(), _>(error));
            exit_now(BUG)
        }
    }
    drop(ctx);
    make_room(roots.context);
    // SAFETY: nothing runs; cycles that evaluation left would stay in the image.
    unsafe { qjs::JS_RunGC(roots.runtime) };
}

/// Most calls make fewer names and shapes of objects than this.
const ROOM: usize = 256;

/// The engine's tables of names (atoms) and of shapes double when they are full, and every name or shape that there is
/// is written to then: in the image they have room for those that a call adds.
fn make_room(context: *mut qjs::JSContext) {
    let make = |number: usize| {
        let name = CString::new(format!("room {number}")).unwrap_or_default();
        // SAFETY: the engine has been made.
        unsafe {
            let object = qjs::JS_NewObject(context);
            qjs::JS_SetPropertyStr(context, object, name.as_ptr(), qjs::JS_UNDEFINED);
            object
        }
    };
    let objects: Vec<qjs::JSValue> = (0..ROOM).map(make).collect();
    for object in objects {
        // SAFETY: ours, and used no more.
        unsafe { qjs::JS_FreeValue(context, object) };
    }
}

/// More shapes of objects than there are in the image.
const MANY_SHAPES: usize = 8192;

/// Makes the engine's table of shapes double, and so the engine write to each shape that there is.
pub fn touch_shapes() {
    // SAFETY: the engine has been made. An object with a prototype of its own has a shape of its own; none is freed.
    unsafe {
        let context = memory::head().roots.context;
        for _ in 0..MANY_SHAPES {
            qjs::JS_NewObjectProto(context, qjs::JS_NewObject(context));
        }
    }
}

fn make_runtime(functions: &'static qjs::JSMallocFunctions) -> Option<Roots> {
    // SAFETY: the functions live as long as the executable. Each intrinsic is added to a context of this runtime.
    unsafe {
        let runtime = qjs::JS_NewRuntime2(functions, null_mut());
        if runtime.is_null() {
            return None;
        }
        qjs::JS_SetMemoryLimit(runtime, MEMORY_LIMIT);
        qjs::JS_SetGCThreshold(runtime, COLLECTOR_THRESHOLD);
        qjs::JS_SetMaxStackSize(runtime, STACK_LIMIT as u64);
        let context = qjs::JS_NewContextRaw(runtime);
        if context.is_null() || !add_intrinsics(context) {
            return None;
        }
        qjs::JS_SetModuleLoaderFunc(runtime, None, Some(load_import), null_mut());
        Some(Roots { runtime, context, main: qjs::JS_UNDEFINED })
    }
}

/// What the applets may use. Not there: eval, Proxy, WeakRef, Performance, DOMException, and Math.random, whose
/// state would be the image's. Promise is for the engine: evaluating a module makes one.
///
/// # Safety
/// `context` must be new.
unsafe fn add_intrinsics(context: *mut qjs::JSContext) -> bool {
    // SAFETY: as the caller says.
    unsafe {
        qjs::JS_AddIntrinsicRegExpCompiler(context);
        let added = qjs::JS_AddIntrinsicBaseObjects(context) == 0
            && qjs::JS_AddIntrinsicDate(context) == 0
            && qjs::JS_AddIntrinsicJSON(context) == 0
            && qjs::JS_AddIntrinsicMapSet(context) == 0
            && qjs::JS_AddIntrinsicPromise(context) == 0
            && qjs::JS_AddIntrinsicRegExp(context) == 0
            && qjs::JS_AddIntrinsicTypedArrays(context) == 0;
        if !added {
            return false;
        }
        let global = qjs::JS_GetGlobalObject(context);
        let math = qjs::JS_GetPropertyStr(context, global, c"Math".as_ptr());
        let random = qjs::JS_NewAtom(context, c"random".as_ptr());
        let removed = qjs::JS_DeleteProperty(context, math, random, 0);
        qjs::JS_FreeAtom(context, random);
        qjs::JS_FreeValue(context, math);
        qjs::JS_FreeValue(context, global);
        removed == 1
    }
}

/// The engine asks for the time of day when a context is made, for the first state of Math.random and of the hashes of
/// Map and Set, which the image must have without a time in it. (Which keys of a Map meet in one place does not depend
/// on that state.)
///
/// # Safety
/// `now` must be null or point to a `timeval`.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(now: *mut libc::timeval, _zone: *mut c_void) -> c_int {
    if !now.is_null() {
        // SAFETY: the caller's.
        unsafe { now.write(libc::timeval { tv_sec: 1, tv_usec: 0 }) };
    }
    0
}

/// Evaluates the module and returns its `main`.
fn evaluate<'js>(ctx: &Ctx<'js>, bytecode: &[u8]) -> Result<Value<'js>> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the bytes are what runtime/compiler wrote with this very version of the engine. JS_EvalFunction consumes
    // the module.
    unsafe {
        let flags = qjs::JS_READ_OBJ_BYTECODE as c_int;
        let module = qjs::JS_ReadObject(raw, bytecode.as_ptr(), bytecode.len() as _, flags);
        if qjs::JS_VALUE_GET_TAG(module) != qjs::JS_TAG_MODULE || qjs::JS_ResolveModule(raw, module) < 0 {
            return Err(Error::Exception);
        }
        let definition = qjs::JS_VALUE_GET_PTR(module).cast::<qjs::JSModuleDef>();
        let promise = native::take(ctx, qjs::JS_EvalFunction(raw, module))?;
        match qjs::JS_PromiseState(raw, promise.as_raw()) {
            // Nobody would ever run it.
            qjs::JSPromiseStateEnum_JS_PROMISE_FULFILLED if qjs::JS_IsJobPending(qjs::JS_GetRuntime(raw)) => {
                return Err(Exception::throw_internal(ctx, "the embedded module leaves a job to be done"));
            }
            qjs::JSPromiseStateEnum_JS_PROMISE_FULFILLED => {}
            qjs::JSPromiseStateEnum_JS_PROMISE_REJECTED => {
                qjs::JS_Throw(raw, qjs::JS_PromiseResult(raw, promise.as_raw()));
                return Err(Error::Exception);
            }
            _ => return Err(Exception::throw_internal(ctx, "top-level await in the embedded module")),
        }
        let exports = native::take(ctx, qjs::JS_GetModuleNamespace(raw, definition))?;
        let main = native::take(ctx, qjs::JS_GetPropertyStr(raw, exports.as_raw(), c"main".as_ptr()))?;
        forget_function(ctx, definition)?;
        Ok(main)
    }
}

/// Where in JSModuleDef (quickjs.c) is the function that a module's evaluation has called, a value.
const MODULE_FUNCTION: usize = 120;

/// The engine keeps that function, which is never called again: 0.1 MB of definitions, and all that only they use.
///
/// # Safety
/// The module must have been evaluated.
unsafe fn forget_function(ctx: &Ctx<'_>, module: *mut qjs::JSModuleDef) -> Result<()> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the structure is larger. Where it is otherwise than known here, what is there is not likely a function.
    unsafe {
        let function = module.byte_add(MODULE_FUNCTION).cast::<qjs::JSValue>();
        if !qjs::JS_IsFunction(raw, *function) {
            return Err(Exception::throw_internal(ctx, "the engine has a module's function elsewhere"));
        }
        qjs::JS_FreeValue(raw, function.replace(qjs::JS_UNDEFINED));
    }
    Ok(())
}

/// The only module that is imported is the native one.
unsafe extern "C" fn load_import(
    raw: *mut qjs::JSContext,
    name: *const c_char,
    _opaque: *mut c_void,
) -> *mut qjs::JSModuleDef {
    // SAFETY: the engine passes its context and a NUL-terminated name.
    let (ctx, name) = unsafe { (Ctx::from_raw(NonNull::new_unchecked(raw)), CStr::from_ptr(name)) };
    if name == c"native:sys" {
        return native::declare(&ctx);
    }
    let _thrown = Exception::throw_reference(&ctx, &format!("no embedded module {}", name.to_string_lossy()));
    null_mut()
}

/// The engine has been made for an image: from now on its memory is what every process has, and it knows nothing of
/// this one's stack. Its runtime, a block of `size` bytes, starts with the functions that give it memory; among its
/// other words are the top and the limit of the stack, which are set when a process enters the engine.
pub fn leave_maker(size: usize) {
    let runtime = runtime();
    let (low, high) = (&raw const runtime as usize, stack_end());
    // SAFETY: nothing runs, and the block has that many words.
    unsafe {
        qjs::JS_SetMaxStackSize(runtime, 0);
        runtime.cast::<qjs::JSMallocFunctions>().write(memory::ENGINE);
        for word in std::slice::from_raw_parts_mut(runtime.cast::<usize>(), size / size_of::<usize>()) {
            if (low - STACK_LIMIT..high).contains(word) {
                *word = 0;
            }
        }
    }
}

pub fn runtime() -> *mut qjs::JSRuntime {
    // SAFETY: no reference outlives the line.
    unsafe { memory::head().roots.runtime }
}

/// How far JavaScript may go down from here: half of what the process' limit leaves, at most `STACK_LIMIT`.
fn stack_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is ours to write.
    unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) };
    let used = stack_end().saturating_sub(&raw const limit as usize);
    let left = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX).saturating_sub(used);
    // 0 would be no limit.
    (left / 2).clamp(1, STACK_LIMIT)
}

/// The kernel puts the executable's name at the very end of the stack, above arguments and environment.
fn stack_end() -> usize {
    // SAFETY: always allowed.
    unsafe { libc::getauxval(libc::AT_EXECFN) as usize }
}

/// # Safety
/// The engine must have been made.
unsafe fn context<'js>(roots: Roots) -> Ctx<'js> {
    // SAFETY: the caller's.
    unsafe { Ctx::from_raw(NonNull::new_unchecked(roots.context)) }
}

/// The process' exit status; says on stderr what nobody caught.
fn status<T>(ctx: &Ctx<'_>, result: Result<T>) -> i32 {
    match result.catch(ctx) {
        Ok(_) => return 0,
        Err(CaughtError::Exception(exception)) => {
            // Of places the engine knows nothing: the bundle has no lines.
            let stack = exception.stack().unwrap_or_default().replace(" (<null>:0:1)", "");
            say(format_args!("uncaught: {}\n{}", exception.message().unwrap_or_default(), stack.trim_end()));
        }
        // What the engine throws where it has no memory left for an error object.
        Err(CaughtError::Value(value)) if value.is_null() => say(format_args!("uncaught: out of memory")),
        Err(other) => say(format_args!("uncaught: {other}")),
    }
    BUG
}
