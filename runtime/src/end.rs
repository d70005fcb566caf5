//! How the process ends, and what it says where nothing else can.

/// Exit status of a bug: an exception that TypeScript did not turn into an answer.
pub const BUG: i32 = 70;

/// Ends the process. The heap is not taken apart and nothing is flushed: nobody is left to notice.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(status) }
}

/// Says it on stderr, if anybody can hear it (std's own macro ends the process where nobody can).
pub fn say(what: std::fmt::Arguments<'_>) {
    let _unheard = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("berth: {what}\n"));
}
