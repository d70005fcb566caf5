//! Links without the tables for unwinding that others bring (without-unwinding.ld): 0.1 MB; and with what most calls
//! run in one place (first.ld).

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    for script in ["without-unwinding.ld", "first.ld"] {
        println!("cargo::rustc-link-arg-bins=-T");
        println!("cargo::rustc-link-arg-bins={directory}/{script}");
        println!("cargo::rerun-if-changed={script}");
    }
}
