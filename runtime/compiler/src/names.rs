//! Takes out of a compiled module what the engine keeps of local variables and never asks for: their table, 20 bytes
//! each, of every function whose closures use none of them, and their names. `eval` would look for them; there is none
//! (runtime/src/engine.rs). The rest is for a message: "lexical variable is not initialized" instead of one by name.
//! Names of functions stay. It makes the heap image 0.3 MB smaller.
//!
//! The engine has no function for this, so it is done in its own structures. All that is known of them here is compared
//! with what is found: another version of the engine, which has them otherwise, ends the build.

use rquickjs::qjs;
use std::ptr::null_mut;
use std::slice;

/// JSFunctionBytecode of quickjs.c. In the same block follow `cpool`, `variables`, `closure` and `code`.
#[repr(C)]
struct Function {
    list: [usize; 2],
    flags: [u8; 8],
    code: *mut u8,
    code_length: i32,
    name: u32,
    /// vardefs
    variables: *mut Variable,
    /// closure_var
    closure: *mut ClosureVariable,
    argument_count: u16,
    variable_count: u16,
    defined_argument_count: u16,
    stack_size: u16,
    reference_count: u16,
    closure_count: u16,
    constant_count: i32,
    realm: *mut qjs::JSContext,
    /// cpool
    constants: *mut qjs::JSValue,
    file_name: u32,
    line: i32,
    column: i32,
    source_length: i32,
    line_table_length: i32,
    line_table: *mut u8,
    source: *mut u8,
}

/// JSVarDef.
#[repr(C)]
struct Variable {
    name: u32,
    scope: [i32; 2],
    /// is_const, is_lexical, is_captured, is_static_private; var_kind.
    flags: u8,
    reference: u16,
    function: i32,
}

const IS_CAPTURED: u8 = 1 << 2;

/// JSClosureVar.
#[repr(C)]
struct ClosureVariable {
    /// JSClosureTypeEnum; is_lexical, is_const.
    kind: u8,
    variable_kind: u8,
    index: u16,
    name: u32,
}

/// JS_CLOSURE_GLOBAL_REF, _GLOBAL_DECL and _GLOBAL: the name is what they are found by.
const GLOBAL_KINDS: std::ops::RangeInclusive<u8> = 3..=5;

const NO_NAME: u32 = qjs::JS_ATOM_NULL;

/// What is taken out is not freed: the process ends soon.
///
/// # Safety
/// `module` must have been compiled, and nothing else.
pub unsafe fn remove(module: *mut qjs::JSModuleDef) {
    /// More than half of JSModuleDef.
    const WORDS: usize = 24;
    // SAFETY: the structure has more words than that. In it, the module's function is the only value with this tag.
    unsafe {
        let words = slice::from_raw_parts(module.cast::<i64>(), WORDS);
        let tag = i64::from(qjs::JS_TAG_FUNCTION_BYTECODE);
        let found = words.iter().position(|word| *word == tag).expect("the engine has a module's function elsewhere");
        remove_of(words[found - 1] as *mut Function);
    }
}

/// # Safety
/// `function` must be one.
unsafe fn remove_of(function: *mut Function) {
    // SAFETY: the caller's. The arrays are as long as the counts say, and the block goes on to the end of the last one.
    unsafe {
        let found = &mut *function;
        let variable_count = usize::from(found.argument_count) + usize::from(found.variable_count);
        let closure_count = usize::from(found.closure_count);
        let constants = function.add(1).cast::<qjs::JSValue>();
        let variables = constants.add(found.constant_count as usize).cast::<Variable>();
        let closure = variables.add(variable_count).cast::<ClosureVariable>();
        let code = closure.add(closure_count).cast::<u8>();
        let is_as_known = found.code == code
            && found.constants == if found.constant_count > 0 { constants } else { null_mut() }
            && found.variables == if variable_count > 0 { variables } else { null_mut() }
            && found.closure == if closure_count > 0 { closure } else { null_mut() };
        assert!(is_as_known, "the engine lays functions out otherwise");
        let are_captured = slice::from_raw_parts(variables, variable_count);
        if are_captured.iter().all(|variable| variable.flags & IS_CAPTURED == 0) {
            found.variables = null_mut();
        } else {
            for variable in slice::from_raw_parts_mut(variables, variable_count) {
                variable.name = NO_NAME;
            }
        }
        for variable in slice::from_raw_parts_mut(closure, closure_count) {
            if !GLOBAL_KINDS.contains(&(variable.kind & 7)) {
                variable.name = NO_NAME;
            }
        }
        for constant in slice::from_raw_parts(constants, found.constant_count as usize) {
            if qjs::JS_VALUE_GET_TAG(*constant) == qjs::JS_TAG_FUNCTION_BYTECODE {
                remove_of(qjs::JS_VALUE_GET_PTR(*constant).cast());
            }
        }
    }
}
