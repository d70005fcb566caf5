//! In the place of an unwinder, which std asks for the list of functions in a panic's message (with RUST_BACKTRACE).
//! The executable has no names of functions, so the list is empty; and since the compiler sees that it is, neither the
//! unwinder nor std's reader of debug information is linked, 0.3 MB.
//!
//! Nothing unwinds: a panic is the end of the process (`panic = "abort"`).

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK` of <unwind.h>.
const END_OF_STACK: c_int = 5;

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_each: *const c_void, _data: *mut c_void) -> c_int {
    END_OF_STACK
}

macro_rules! never_called {
    ($($name:ident)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            std::process::abort()
        })*
    };
}

// Named by std's own functions that were compiled to unwind.
never_called! {
    _Unwind_GetDataRelBase _Unwind_GetIP _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart
    _Unwind_GetTextRelBase _Unwind_Resume _Unwind_SetGR _Unwind_SetIP
}
