//! Bodies of the type `application/x-www-form-urlencoded`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|body: &[u8]| common::mask("application/x-www-form-urlencoded", None, body));
