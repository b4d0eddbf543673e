//! The documentation names what the code has: every configuration key, no more and no fewer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use serde::Serialize;
use shadow_runtime::config::keys;

/// The keys in the tables of one part of docs/configuration.md, which begins with `heading` and ends at the next `## `.
fn documented(heading: &str) -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let part =
        text.split("\n## ").find(|part| part.starts_with(heading)).unwrap_or_else(|| panic!("no part {heading}"));
    let first_cell = |line: &str| line.strip_prefix("| `")?.split_once("` |").map(|(key, _)| key.to_owned());
    part.lines().filter_map(first_cell).filter(|key| key.contains('.') && !key.contains(' ')).collect()
}

fn check<C: Default + Serialize>(heading: &str) {
    let mut told = documented(heading);
    told.extend(documented("Sections that every service has"));
    // Not serialised, so that no password in it can be shown.
    assert!(told.remove("kafka.properties"));
    let known: BTreeSet<String> = keys::<C>().unwrap().into_iter().collect();
    assert_eq!(told, known, "{heading}");
}

#[test]
fn every_configuration_key_is_documented_and_every_documented_key_exists() {
    check::<capture_agent::Config>("`capture-agent`");
    check::<replayer::config::Config>("`replayer`");
    check::<comparator::config::Config>("`comparator`");
    check::<shadow_stub::config::Config>("`shadow-stub`");
}

/// The anchors of a page's headings, as they are made where the pages are shown: lower case, hyphens for spaces, no punctuation.
fn anchors(page: &str) -> BTreeSet<String> {
    let prose = page.split("```").step_by(2);
    let headings = prose.flat_map(str::lines).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        heading.trim_start_matches('#').trim().chars().filter(kept).collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md"), root.join("schemas/README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link)) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{} links to {link}", page.display());
            let there = anchor.is_empty() || anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor);
            assert!(there, "{} links to {link}, where no such heading is", page.display());
        }
    }
}
