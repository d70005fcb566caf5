//! `compiler MODULE BYTECODE` compiles the JavaScript module in the one file to QuickJS bytecode in the other.
//!
//! The bytecode does not depend on the processor beyond byte order, and both of our targets are little-endian.

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::{Declared, ModuleDef};
use rquickjs::{CatchResultExt, Context, Ctx, Module, Runtime, WriteOptions, WriteOptionsEndianness};
use std::{env, fs};

/// Compiling a module asks for what it imports: the native module, which is linked in the executable, so here anything
/// will do.
struct Anything;

impl ModuleDef for Anything {}

impl Resolver for Anything {
    fn resolve<'js>(
        &mut self,
        _: &Ctx<'js>,
        _: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        Ok(name.to_owned())
    }
}

impl Loader for Anything {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        Module::declare_def::<Anything, _>(ctx.clone(), name)
    }
}

fn main() {
    let [_, module, bytecode] = env::args().collect::<Vec<_>>().try_into().expect("compiler MODULE BYTECODE");
    let source = fs::read(&module).unwrap_or_else(|error| panic!("cannot read {module}: {error}"));
    fs::write(&bytecode, compile(source)).unwrap_or_else(|error| panic!("cannot write {bytecode}: {error}"));
}

fn compile(source: Vec<u8>) -> Vec<u8> {
    let runtime = Runtime::new().expect("a JavaScript runtime");
    runtime.set_loader(Anything, Anything);
    let context = Context::full(&runtime).expect("a JavaScript context");
    context.with(|ctx| {
        Module::declare(ctx.clone(), "berth.js", source)
            .and_then(|module| {
                module.write(WriteOptions {
                    endianness: WriteOptionsEndianness::Little,
                    strip_source: true,
                    // A bundle has one line. The stack trace of a bug still names its functions.
                    strip_debug: true,
                    ..WriteOptions::default()
                })
            })
            .catch(&ctx)
            .unwrap_or_else(|error| panic!("cannot compile berth.js: {error}"))
    })
}
