//! Bodies of the type `text/event-stream`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|body: &[u8]| common::mask("text/event-stream", None, body));
