//! The faults of a report as text, each with what it goes together with.

use super::{Report, SignatureRow};
use crate::commands::verdict::effects;
use crate::table::Table;
use crate::words::{count, percent};

/// Longest excerpt of an example, in characters.
const EXCERPT: usize = 32;

impl Report {
    pub(super) fn signatures(&self) -> String {
        if self.signatures_total == 0 {
            return "signatures: no differences\n".to_owned();
        }
        let mut table = Table::new(&[
            ">exchanges",
            "standing",
            ">control",
            "route",
            "place",
            "kind",
            "transition",
            "primary",
            "candidate",
        ]);
        for s in &self.signatures {
            let (standing, control) = self.standing(s);
            table.row([
                count(s.exchanges),
                standing,
                control,
                s.route.clone(),
                s.place.clone(),
                effects::kind(&s.place, &s.kind).to_owned(),
                s.transition.clone(),
                excerpt(&s.example_primary),
                excerpt(&s.example_candidate),
            ]);
        }
        let shown = self.signatures.len() as u64;
        let head = match self.signatures_total {
            total if total > shown => format!("signatures: {} of {}, most frequent first", count(shown), count(total)),
            total => format!("signatures: {}", count(total)),
        };
        let notes: String = self.signatures.iter().flat_map(notes).collect();
        format!("{head}\n{}{notes}{}", table.render(), self.undecided())
    }

    /// Whether it is proven to be a fault, and in how many pairs the control shows it too; dashes where no control was asked.
    fn standing(&self, of: &SignatureRow) -> (String, String) {
        if self.launch.control.is_empty() && of.pairs == 0 {
            return ("-".to_owned(), "-".to_owned());
        }
        (of.standing.clone(), format!("{} of {}", count(of.control_differing), count(of.pairs)))
    }

    /// What undecided means, where something is.
    fn undecided(&self) -> String {
        let exchanges = self.match_rate.iter().map(|rate| rate.undecided).sum::<u64>();
        if self.launch.control.is_empty() || exchanges == 0 {
            return String::new();
        }
        format!(
            "undecided: {} differing exchanges show nothing that is proven to be a fault; what the control shows so far is not enough to \
             call it noise either\n",
            count(exchanges)
        )
    }
}

/// What stands beside a signature: which requests show it, and whether only old ones do.
fn notes(of: &SignatureRow) -> Vec<String> {
    let SignatureRow { route, place, .. } = of;
    let mut notes = Vec::new();
    if let Some(driver) = &of.driver {
        let attribute = match driver.is.as_str() {
            "=" => format!("{} = {}", driver.attribute, excerpt(&driver.value)),
            "absent" => format!("no {}", driver.attribute),
            _ => driver.attribute.clone(),
        };
        let share = percent((driver.share * 10_000.0).round() as u64, 10_000);
        notes.push(format!(
            "  {route} {place}: {:.1} times as often with {attribute}, as in {share} of its exchanges\n",
            driver.lift
        ));
    }
    if of.only_stale == 1 {
        notes.push(format!(
            "  {route} {place}: only on stale replays, {} and older; none of {} fresher exchanges shows it\n",
            age(of.stale_from_s),
            count(of.fresh_exchanges)
        ));
    }
    notes
}

/// One of the ages of the view `staleness`.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// The beginning of an example; a dash where the side has nothing.
fn excerpt(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
    if text.chars().count() > EXCERPT {
        shown.push('…');
    }
    shown
}
