//! Bodies of the type `text/plain`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|body: &[u8]| common::mask("text/plain", None, body));
