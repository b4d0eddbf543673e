//! Bodies of the type `application/json`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|body: &[u8]| common::mask("application/json", None, body));
