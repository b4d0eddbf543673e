//! The text of rules.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let inlined = shadow_diff::rules::inline_descriptors(text, |path| Ok(path.as_bytes().to_vec())).expect("can be read");
    if let Ok(rules) = shadow_diff::Rules::parse(&inlined) {
        assert_eq!(rules.list().map(|(index, _)| usize::from(index)).max().map_or(0, |last| last + 1), rules.list().count());
    }
});
