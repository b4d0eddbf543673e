//! Two bodies of the type `text/plain`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|input: &[u8]| common::bodies("text/plain", input, ""));
