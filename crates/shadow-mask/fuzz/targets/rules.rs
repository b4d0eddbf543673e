//! Rules as an operator may write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| drop(shadow_mask::Ruleset::parse(text)));
