//! Two bodies of the type `application/xml`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|input: &[u8]| common::bodies("application/xml", input, ""));
