//! Links without the tables for unwinding that others bring (without-unwinding.ld): 0.1 MB.

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-arg-bins=-T");
    println!("cargo::rustc-link-arg-bins={directory}/without-unwinding.ld");
    println!("cargo::rerun-if-changed=without-unwinding.ld");
}
