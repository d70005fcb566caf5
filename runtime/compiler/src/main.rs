//! `compiler MODULE BYTECODE` compiles the JavaScript module in the one file to QuickJS bytecode in the other.
//!
//! The bytecode does not depend on the processor beyond byte order, and both of our targets are little-endian.

mod names;

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::{Declared, ModuleDef};
use rquickjs::{CaughtError, Context, Ctx, Error, Module, Result, Runtime, qjs};
use std::ffi::{CStr, CString};
use std::{env, fs, slice};

/// Compiling a module asks for what it imports: the native module, which is linked in the executable, so here anything
/// will do.
struct Anything;

impl ModuleDef for Anything {}

impl Resolver for Anything {
    fn resolve<'js>(&mut self, _: &Ctx<'js>, _: &str, name: &str, _: Option<ImportAttributes<'js>>) -> Result<String> {
        Ok(name.to_owned())
    }
}

impl Loader for Anything {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        Module::declare_def::<Anything, _>(ctx.clone(), name)
    }
}

fn main() {
    let [_, module, bytecode] = env::args().collect::<Vec<_>>().try_into().expect("compiler MODULE BYTECODE");
    let source = fs::read(&module).unwrap_or_else(|error| panic!("cannot read {module}: {error}"));
    let source = CString::new(source).expect("JavaScript has no NUL");
    fs::write(&bytecode, compile(&source)).unwrap_or_else(|error| panic!("cannot write {bytecode}: {error}"));
}

fn compile(source: &CStr) -> Vec<u8> {
    let runtime = Runtime::new().expect("a JavaScript runtime");
    runtime.set_loader(Anything, Anything);
    let context = Context::full(&runtime).expect("a JavaScript context");
    context.with(|ctx| {
        let raw = ctx.as_raw().as_ptr();
        let length = source.count_bytes();
        let flags = qjs::JS_EVAL_TYPE_MODULE | qjs::JS_EVAL_FLAG_COMPILE_ONLY;
        // A bundle has one line. The stack trace of a bug still names its functions.
        let without = qjs::JS_WRITE_OBJ_STRIP_SOURCE | qjs::JS_WRITE_OBJ_STRIP_DEBUG;
        // SAFETY: the text ends with NUL. What was written is `length` bytes, and stays until the engine ends.
        unsafe {
            let module = qjs::JS_Eval(raw, source.as_ptr(), length as _, c"berth.js".as_ptr(), flags as _);
            if qjs::JS_VALUE_GET_TAG(module) != qjs::JS_TAG_MODULE {
                panic!("cannot compile berth.js: {}", CaughtError::from_error(&ctx, Error::Exception));
            }
            names::remove(qjs::JS_VALUE_GET_PTR(module).cast());
            let mut length = 0;
            let written = qjs::JS_WriteObject(raw, &mut length, module, (qjs::JS_WRITE_OBJ_BYTECODE | without) as _);
            assert!(!written.is_null(), "no memory for the bytecode");
            slice::from_raw_parts(written, length as usize).to_vec()
        }
    })
}
