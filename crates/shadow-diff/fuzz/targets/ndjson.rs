//! Two bodies of the type `application/x-ndjson`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|input: &[u8]| common::bodies("application/x-ndjson", input, ""));
