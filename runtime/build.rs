//! Compiles the JavaScript module `berth.js` in the directory `BERTH_MODULES` (default: ../build/modules) to QuickJS
//! bytecode, which `src/engine.rs` includes.
//!
//! The bytecode is made by the machine that builds. It does not depend on the processor beyond byte order, and both of
//! our targets are little-endian.

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::{Declared, ModuleDef};
use rquickjs::{CatchResultExt, Context, Ctx, Module, Runtime, WriteOptions, WriteOptionsEndianness};
use std::path::PathBuf;
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
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BERTH_MODULES");
    let modules = env::var_os("BERTH_MODULES").map_or_else(|| here.join("../build/modules"), |path| here.join(path));
    let file = modules.join("berth.js");
    println!("cargo::rerun-if-changed={}", file.display());
    let source = fs::read(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    fs::write(out.join("berth.bytecode"), compile(source)).expect("OUT_DIR can be written");
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
