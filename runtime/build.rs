//! Compiles every JavaScript module under `BERTH_MODULES` (default: ../build/modules) to QuickJS bytecode and writes one
//! table of names and bytes, which `src/modules.rs` includes.
//!
//! The bytecode is made by the machine that builds. It does not depend on the processor beyond byte order, and both of our
//! targets are little-endian.

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::{Declared, ModuleDef};
use rquickjs::{CatchResultExt, Context, Ctx, Module, Runtime, WriteOptions, WriteOptionsEndianness};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Compiling a module asks for the modules that it imports. They are linked in the executable, so here anything will do.
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
        Ok(format!("import of {name}"))
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
    println!("cargo::rerun-if-changed={}", modules.display());

    let mut names = Vec::new();
    find_modules(&modules, "", &mut names)
        .unwrap_or_else(|error| panic!("cannot read the modules in {}: {error}", modules.display()));
    // Sorted: the executable finds a name by binary search, and the same modules make the same executable.
    names.sort();

    let mut table = String::from("&[\n");
    for (index, name) in names.iter().enumerate() {
        let source = fs::read(modules.join(name)).unwrap_or_else(|error| panic!("cannot read {name}: {error}"));
        let bytecode = out.join(format!("{index}.bytecode"));
        fs::write(&bytecode, compile(name, source))
            .unwrap_or_else(|error| panic!("cannot write {bytecode:?}: {error}"));
        table.push_str(&format!("    Embedded {{ name: {name:?}, bytecode: include_bytes!({bytecode:?}) }},\n"));
    }
    table.push_str("]\n");
    fs::write(out.join("modules.rs"), table).expect("OUT_DIR can be written");
}

fn find_modules(folder: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            println!("cargo::rerun-if-changed={}", entry.path().display());
            find_modules(&entry.path(), &format!("{name}/"), names)?;
        } else if name.ends_with(".js") {
            println!("cargo::rerun-if-changed={}", entry.path().display());
            names.push(name);
        }
    }
    Ok(())
}

fn compile(name: &str, source: Vec<u8>) -> Vec<u8> {
    // A new context each: modules that import one another must not meet under the names that `Anything` gave out.
    let runtime = Runtime::new().expect("a JavaScript runtime");
    runtime.set_loader(Anything, Anything);
    let context = Context::full(&runtime).expect("a JavaScript context");
    context.with(|ctx| {
        Module::declare(ctx.clone(), name, source)
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
            .unwrap_or_else(|error| panic!("cannot compile {name}: {error}"))
    })
}
