//! The rules that the documentation shows can be used.

#![allow(clippy::unwrap_used)]

use shadow_diff::Rules;

#[test]
fn every_rules_block_of_the_page_parses() {
    let page = include_str!("../../../docs/comparison.md");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        Rules::parse(block).unwrap();
    }
}

#[test]
fn the_rules_of_the_shop_and_of_the_worked_example_parse() {
    for rules in [
        include_str!("../../shadow-shop/rules/comparison.toml"),
        include_str!("../../../docs/examples/datasette/comparison.toml"),
    ] {
        assert!(Rules::parse(rules).unwrap().list().count() > 0);
    }
}
