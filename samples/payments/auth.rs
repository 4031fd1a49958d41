//! auth: the users and their PINs, in /keys/users.txt. It exports bank:payments/auth (bank.wit).
//!
//! A user is a line `name:PIN`; empty lines and those that start with `#` are none. The file is read at each call, so
//! that it can be changed while the program runs. Whoever can read it is everybody: the policy gives its directory to
//! this component alone.
//!
//! The canonical ABI is written by hand. A string or list arrives as (address, length) in memory that the caller got
//! from `cabi_realloc`, and is the callee's. A result that does not fit one core value is returned as the address of
//! its bytes; `cabi_post_` gives back what it holds, once the caller has read it.

use std::alloc::{alloc, handle_alloc_error, realloc, Layout};
use std::fs;

const USERS: &str = "/keys/users.txt";
const WRONG: &str = "no such user, or another PIN";

/// string, and list<string> as its elements' address and number.
#[repr(C)]
pub struct Slice<T> {
    address: *mut T,
    length: usize,
}

/// result<_, string>
#[repr(C)]
pub struct Outcome {
    failed: u8,
    error: Slice<u8>,
}

impl<T> Slice<T> {
    fn none() -> Self {
        Self { address: std::ptr::null_mut(), length: 0 }
    }

    fn of(items: Box<[T]>) -> Self {
        let length = items.len();
        Self { address: Box::into_raw(items) as *mut T, length }
    }

    /// Must be called once, on what `of` made.
    unsafe fn back(self) -> Box<[T]> {
        Box::from_raw(std::slice::from_raw_parts_mut(self.address, self.length))
    }
}

impl From<String> for Slice<u8> {
    fn from(text: String) -> Self {
        Self::of(text.into_bytes().into_boxed_slice())
    }
}

/// The name and PIN of each user.
fn users(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.trim().split_once(':'))
}

/// Whether two texts are the same, in a time that does not tell how far they are.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

fn validate(user: &str, pin: &str) -> Result<(), String> {
    let text = fs::read_to_string(USERS).map_err(|error| format!("cannot read the users: {error}"))?;
    let known = users(&text).any(|(name, its)| name == user && same(its, pin));
    known.then_some(()).ok_or_else(|| WRONG.to_string())
}

#[export_name = "cabi_realloc"]
pub unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, alignment: usize, size: usize) -> *mut u8 {
    if size == 0 {
        return alignment as *mut u8;
    }
    let layout = Layout::from_size_align_unchecked(size, alignment);
    let bytes = match old_size {
        0 => alloc(layout),
        _ => realloc(old, Layout::from_size_align_unchecked(old_size, alignment), size),
    };
    if bytes.is_null() {
        handle_alloc_error(layout)
    }
    bytes
}

extern "C" {
    fn __wasm_call_ctors();
}

/// Runs once, before anything is called: where nobody calls the constructors (libc's find the directories that were
/// granted), the linker makes each export call them, every time.
#[export_name = "_initialize"]
pub unsafe extern "C" fn initialize() {
    __wasm_call_ctors();
}

/// A string that the caller passed.
unsafe fn text(address: *mut u8, length: usize) -> String {
    String::from_utf8_unchecked(Vec::from_raw_parts(address, length, length))
}

#[export_name = "bank:payments/auth@1.0.0#validate-user"]
pub unsafe extern "C" fn validate_user(
    user: *mut u8,
    user_length: usize,
    pin: *mut u8,
    pin_length: usize,
) -> *mut Outcome {
    let (user, pin) = (text(user, user_length), text(pin, pin_length));
    Box::into_raw(Box::new(match validate(&user, &pin) {
        Ok(()) => Outcome { failed: 0, error: Slice::none() },
        Err(error) => Outcome { failed: 1, error: error.into() },
    }))
}

#[export_name = "cabi_post_bank:payments/auth@1.0.0#validate-user"]
pub unsafe extern "C" fn after_validate_user(outcome: *mut Outcome) {
    let outcome = *Box::from_raw(outcome);
    if outcome.failed != 0 {
        outcome.error.back();
    }
}

/// None where they cannot be read.
#[export_name = "bank:payments/auth@1.0.0#users"]
pub extern "C" fn all_users() -> *mut Slice<Slice<u8>> {
    let text = fs::read_to_string(USERS).unwrap_or_default();
    let names: Box<[Slice<u8>]> = users(&text).map(|(name, _)| name.to_string().into()).collect();
    Box::into_raw(Box::new(Slice::of(names)))
}

#[export_name = "cabi_post_bank:payments/auth@1.0.0#users"]
pub unsafe extern "C" fn after_all_users(names: *mut Slice<Slice<u8>>) {
    for name in Vec::from(Box::from_raw(names).back()) {
        name.back();
    }
}
