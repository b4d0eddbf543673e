//! Printing figures as Markdown, and keeping every round as JSON.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::Args;
use super::cpus::Cpus;

/// A Markdown table being filled.
pub struct Table {
    columns: usize,
    text: String,
}

impl Table {
    /// With these headings.
    pub fn new(headings: &[&str]) -> Self {
        let rule = headings.iter().map(|_| "---").collect::<Vec<_>>().join("|");
        Self { columns: headings.len(), text: format!("| {} |\n|{rule}|\n", headings.join(" | ")) }
    }

    /// One more row.
    pub fn row(&mut self, cells: &[String]) {
        assert_eq!(cells.len(), self.columns, "a row has a cell for each heading");
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    /// To standard output.
    pub fn print(&self, title: &str) {
        println!("\n**{title}**\n\n{}", self.text);
    }
}

/// Everything measured, for `--json`.
pub struct Report(Map<String, Value>);

impl Report {
    /// Begins with what was asked, and of which machine.
    pub fn new(args: &Args, cpus: &Cpus) -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let machine = json!({ "kernel": kernel.trim(), "proxy_core": cpus.proxy, "load_core": cpus.load, "other_cores": cpus.rest });
        let asked =
            json!({ "command": args.command, "rounds": args.rounds, "seconds": args.seconds, "rate": args.rate });
        Self(Map::from_iter([("asked".to_owned(), asked), ("machine".to_owned(), machine)]))
    }

    /// Adds a part.
    pub fn put(&mut self, name: &str, value: impl serde::Serialize) {
        self.0.insert(name.to_owned(), serde_json::to_value(value).expect("figures are JSON"));
    }

    /// Writes it, if a file was asked for.
    pub fn write(self, file: Option<&Path>) {
        if let Some(file) = file {
            let text = serde_json::to_string_pretty(&self.0).expect("figures are JSON");
            std::fs::write(file, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
        }
    }
}

/// `yes`, or what must be looked at.
pub fn yes(so: bool) -> String {
    if so { "yes" } else { "**NO**" }.to_owned()
}
