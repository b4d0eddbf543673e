//! Noise as text.

use super::profile::Entered;
use super::{NoiseRow, Shown};
use crate::table::Table;
use crate::words::count;

impl Shown {
    pub(super) fn render(&self) -> String {
        let of = &self.signatures;
        if of.is_empty() {
            return format!(
                "nothing is known about noise in {}: no exchange that went to a control differs, and no entry of an earlier launch \
                 holds",
                self.launch
            );
        }
        let mut table = Table::new(&[
            "decision",
            "basis",
            ">control",
            ">candidate",
            ">of pairs",
            ">only candidate",
            ">only control",
            "signature",
            "route",
            "place",
            "kind",
            "transition",
        ]);
        for row in of {
            table.row([
                row.decision.clone(),
                basis(row),
                count(row.control_differing),
                count(row.candidate_differing),
                count(row.pairs),
                count(row.only_candidate),
                count(row.only_control),
                row.signature.clone(),
                row.route.clone(),
                row.place.clone(),
                row.kind.clone(),
                row.transition.clone(),
            ]);
        }
        table.render()
    }
}

fn basis(row: &NoiseRow) -> String {
    match (row.basis.as_str(), row.until.as_str()) {
        ("", _) => "-".to_owned(),
        (basis, "") => basis.to_owned(),
        (basis, until) => format!("{basis} until {}", until.split('T').next().unwrap_or(until)),
    }
}

impl Entered {
    pub(super) fn render(&self) -> String {
        let mut table =
            Table::new(&["decision", "origin", "expires", "signature", "route", "place", "kind", "transition"]);
        for entry in &self.entries {
            table.row([
                entry.decision.clone(),
                entry.origin.clone(),
                entry.expires_at.clone(),
                entry.signature.clone(),
                entry.route.clone(),
                entry.place.clone(),
                entry.kind.clone(),
                entry.transition.clone(),
            ]);
        }
        format!("noise profile of {}, version {}\n{}", self.service, self.version, table.render())
    }
}
