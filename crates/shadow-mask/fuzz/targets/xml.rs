//! Bodies of the type `application/xml`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|body: &[u8]| common::mask("application/xml", None, body));
