//! Calls that were made one after the other, and by the other version the other way round. Pure.

use shadow_record::SideEffect;

/// A pair of calls that belong together: the primary's and the other version's.
pub(super) type Together<'a> = (&'a SideEffect, &'a SideEffect);

/// Every two pairs of which the first had ended before the second began on the primary's side, and that are reversed on the other. Calls
/// that overlap have no order, and neither have those that different instances recorded: their clocks may differ by more than a call takes.
pub(super) fn reversed<'a>(pairs: &[Together<'a>]) -> Vec<(Together<'a>, Together<'a>)> {
    let mut found = Vec::new();
    for (at, one) in pairs.iter().enumerate() {
        for other in &pairs[at + 1..] {
            for (first, second) in [(one, other), (other, one)] {
                if precedes(first.0, second.0) && precedes(second.1, first.1) {
                    found.push((*first, *second));
                }
            }
        }
    }
    found
}

fn precedes(first: &SideEffect, second: &SideEffect) -> bool {
    let one_clock = first.instance == second.instance && first.epoch == second.epoch;
    one_clock && first.at.micros().saturating_add(first.total_us.max(0)) < second.at.micros()
}
