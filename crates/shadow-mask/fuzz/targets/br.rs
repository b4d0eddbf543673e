//! JSON in the content coding `br`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|body: &[u8]| common::mask("application/json", Some("br"), body));
