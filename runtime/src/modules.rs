//! The modules inside the executable: one table of name and bytecode, made by build.rs.
//!
//! Every module is loaded at most once, whether a module imports it or `loadModule` asks for it.

use rquickjs::{Ctx, Error, Promise, Result, Value, qjs};
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;

struct Embedded {
    name: &'static str,
    bytecode: &'static [u8],
}

/// Sorted by name.
static MODULES: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

thread_local! {
    /// What has been loaded so far, by place in `MODULES`. The engine frees modules only with their context, which lives
    /// as long as the process.
    static LOADED: RefCell<Vec<(usize, *mut qjs::JSModuleDef)>> = const { RefCell::new(Vec::new()) };
}

/// Names of the embedded applets.
pub fn applets() -> impl Iterator<Item = &'static str> {
    MODULES.iter().filter_map(|module| module.name.strip_prefix("applet/")?.strip_suffix(".js"))
}

/// The place of `<name>.js` in the table.
pub fn find(name: &str) -> Option<usize> {
    find_file(name, ".js")
}

fn find_file(name: &str, suffix: &str) -> Option<usize> {
    let wanted = name.bytes().chain(suffix.bytes());
    MODULES.binary_search_by(|module| module.name.bytes().cmp(wanted.clone())).ok()
}

/// Has the engine look up imports in the table; `native` is handed out for the name `native:sys`.
pub fn install_loader(ctx: &Ctx<'_>) {
    // SAFETY: the runtime is alive as long as its context; `load_import` keeps to the engine's contract for loaders.
    // No normalizer: the engine's own resolves `../chunk.js` against the importing module's name.
    unsafe {
        let runtime = qjs::JS_GetRuntime(ctx.as_raw().as_ptr());
        qjs::JS_SetModuleLoaderFunc(runtime, None, Some(load_import), null_mut());
    }
}

unsafe extern "C" fn load_import(
    raw: *mut qjs::JSContext,
    name: *const c_char,
    _opaque: *mut c_void,
) -> *mut qjs::JSModuleDef {
    // SAFETY: the engine passes its context and a NUL-terminated name.
    let (ctx, name) = unsafe { (Ctx::from_raw(std::ptr::NonNull::new_unchecked(raw)), CStr::from_ptr(name)) };
    let name = name.to_string_lossy();
    if name == "native:sys" {
        return crate::native::declare(&ctx);
    }
    match find_file(&name, "") {
        Some(index) => load(&ctx, index).unwrap_or(null_mut()),
        None => {
            let _thrown = rquickjs::Exception::throw_reference(&ctx, &format!("no embedded module {name}"));
            null_mut()
        }
    }
}

/// Reads the bytecode of a module unless that has been done. On an error the exception is pending.
fn load(ctx: &Ctx<'_>, index: usize) -> Result<*mut qjs::JSModuleDef> {
    let known = LOADED.with_borrow(|loaded| loaded.iter().find(|(at, _)| *at == index).map(|(_, module)| *module));
    if let Some(module) = known {
        return Ok(module);
    }
    let bytecode = MODULES[index].bytecode;
    let flags = qjs::JS_READ_OBJ_BYTECODE as i32;
    // SAFETY: the bytes are what build.rs wrote with this very version of the engine.
    let value = unsafe { qjs::JS_ReadObject(ctx.as_raw().as_ptr(), bytecode.as_ptr(), bytecode.len() as _, flags) };
    // SAFETY: reading the tag of a value is always allowed.
    if unsafe { qjs::JS_VALUE_GET_TAG(value) } != qjs::JS_TAG_MODULE {
        return Err(Error::Exception);
    }
    // SAFETY: the tag says that it is a module; the reference of `value` is never given back, so it stays.
    let module = unsafe { qjs::JS_VALUE_GET_PTR(value) }.cast::<qjs::JSModuleDef>();
    LOADED.with_borrow_mut(|loaded| loaded.push((index, module)));
    Ok(module)
}

/// Evaluates a module (once) and returns its exports.
pub fn evaluate<'js>(ctx: &Ctx<'js>, index: usize) -> Result<Value<'js>> {
    let raw = ctx.as_raw().as_ptr();
    let module = load(ctx, index)?;
    let value = qjs::JS_MKPTR(qjs::JS_TAG_MODULE, module.cast());
    // SAFETY: `module` came from `load`. JS_EvalFunction consumes a reference, hence the duplicate. Evaluating a module
    // again returns the promise of the first time.
    let promise = unsafe {
        if qjs::JS_ResolveModule(raw, value) < 0 {
            return Err(Error::Exception);
        }
        let result = qjs::JS_EvalFunction(raw, qjs::JS_DupValue(raw, value));
        if qjs::JS_VALUE_GET_NORM_TAG(result) == qjs::JS_TAG_EXCEPTION {
            return Err(Error::Exception);
        }
        Promise::from_value(Value::from_raw(ctx.clone(), result))?
    };
    match promise.result::<()>() {
        Some(result) => result?,
        None => return Err(rquickjs::Exception::throw_internal(ctx, "top-level await in an embedded module")),
    }
    // SAFETY: as above; the module is evaluated.
    unsafe {
        let exports = qjs::JS_GetModuleNamespace(raw, module);
        if qjs::JS_VALUE_GET_NORM_TAG(exports) == qjs::JS_TAG_EXCEPTION {
            return Err(Error::Exception);
        }
        Ok(Value::from_raw(ctx.clone(), exports))
    }
}
