//! Response heads: read the same whatever follows them. What must hold is in `checks.rs`, which the tests on stable share.
#![no_main]
#[path = "../checks.rs"]
#[allow(dead_code)]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::response(bytes));
