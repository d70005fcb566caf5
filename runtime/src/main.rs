//! Berth's host: picks the applet that argv[0] names, starts the engine with as little as it needs, and evaluates the
//! applet's module. What a CNI plugin does is TypeScript; nothing of it is in here.

// std's own start-up costs a dozen system calls for things that we do not use (a guard page, an alternate signal stack,
// a look at the standard descriptors), so the C start code calls us directly.
#![no_main]

mod arguments;
mod engine;
mod heap;
mod modules;
mod native;

use std::ffi::{c_char, c_int};

/// Exit status of a bug: an exception that TypeScript did not turn into an answer.
const BUG: i32 = 70;
/// Exit status of a wrong call of `berth` itself.
const USAGE: i32 = 2;

// SAFETY: the C start code calls `main` once, with this signature; nothing else in the executable is called `main`.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, argv: *const *const c_char) -> c_int {
    ignore_broken_pipes();
    // SAFETY: this is what the C start code passes.
    unsafe { arguments::remember(argv) };
    match choose(arguments::all().map(|argument| String::from_utf8_lossy(argument).into_owned())) {
        Choice::Applet(index) => engine::run(index),
        Choice::Version => {
            println!("berth {} (QuickJS-ng {})", env!("CARGO_PKG_VERSION"), engine::version());
            native::exit_now(0)
        }
        Choice::Usage => {
            let names: Vec<_> = modules::applets().collect();
            eprintln!("usage: berth APPLET, or a link to berth named after the applet\napplets: {}", names.join(" "));
            native::exit_now(USAGE)
        }
    }
}

enum Choice {
    Applet(usize),
    Version,
    Usage,
}

/// `applet/<name of argv[0]>`, or `applet/<argv[1]>` where argv[0] names none.
fn choose(mut args: impl Iterator<Item = String>) -> Choice {
    let applet = |name: &str| modules::find(&format!("applet/{name}"));
    let own = args.next().unwrap_or_default();
    if let Some(index) = applet(own.rsplit('/').next().unwrap_or_default()) {
        return Choice::Applet(index);
    }
    match args.next().as_deref() {
        Some("--version") => Choice::Version,
        Some(name) => applet(name).map_or(Choice::Usage, Choice::Applet),
        None => Choice::Usage,
    }
}

/// A write to a closed pipe or socket is EPIPE, an error like others, not the end of the process.
fn ignore_broken_pipes() {
    // SAFETY: no other thread exists, and SIG_IGN runs no code of ours. std gives children the default back.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
