//! Two bodies of the type `application/json`.
#![no_main]

mod common;

libfuzzer_sys::fuzz_target!(|input: &[u8]| common::bodies("application/json", input, RULES));

const RULES: &str = "[[unordered]]\njson = [\"$..u\"]\n[[keyed]]\njson = [\"$..k\"]\nkey = \"id\"\n[[tolerance]]\n\
    json = [\"$..t\"]\nrelative = 0.1\n[[shape]]\njson = [\"$..s\"]\n[[null_is_missing]]\njson = [\"$..n\"]\n";
