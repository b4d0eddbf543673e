//! JSON in the content coding `zstd`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|body: &[u8]| common::mask("application/json", Some("zstd"), body));
