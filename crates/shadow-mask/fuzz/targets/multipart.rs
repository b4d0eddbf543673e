//! Bodies of the type `multipart/form-data; boundary=x`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|body: &[u8]| common::mask("multipart/form-data; boundary=x", None, body));
