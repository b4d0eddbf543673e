//! Two messages of the type `google.protobuf.FileDescriptorProto`, which prost-reflect knows.
#![no_main]

mod common;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

static RULES: LazyLock<String> = LazyLock::new(|| {
    let text = "[[protobuf]]\nmessage = \"google.protobuf.FileDescriptorProto\"\ndescriptor_file = \"descriptor.bin\"\n";
    shadow_diff::rules::inline_descriptors(text, |_| Ok(DescriptorPool::global().encode_to_vec())).expect("at hand")
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| common::bodies("application/x-protobuf", input, &RULES));
