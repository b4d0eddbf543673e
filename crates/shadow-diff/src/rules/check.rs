//! Rules that contradict one another.

use super::{Rule, RulesError, Treatment};

/// Refuses two rules that say different things about the order of one array, two expected changes of one name, and two rules of which
/// only one can hold on a route that are written for the same one. Patterns of places that
/// are written differently and meet in one place are no contradiction: there the earlier one holds.
pub(super) fn conflicts(rules: &[Rule]) -> Result<(), RulesError> {
    for (at, rule) in rules.iter().enumerate() {
        for earlier in &rules[..at] {
            let problem = match (&earlier.treatment, &rule.treatment) {
                (Treatment::Order(a), Treatment::Order(b)) if a != b && earlier.route.overlaps(&rule.route) => {
                    rule.paths.iter().find(|path| earlier.paths.contains(path)).map(|path| {
                        format!("line {} says something else about the order of {path}; keep one of them", earlier.line)
                    })
                }
                (Treatment::Expected(a), Treatment::Expected(b)) if a.name == b.name => {
                    Some(format!("line {} has an expected change of that name too; name them apart", earlier.line))
                }
                (Treatment::Errors(_), Treatment::Errors(_))
                | (Treatment::Measure(_), Treatment::Measure(_))
                | (Treatment::Protobuf(_), Treatment::Protobuf(_))
                    if earlier.route == rule.route =>
                {
                    let table = rule.table;
                    Some(format!("line {} has an [[{table}]] for the same route; make one of them", earlier.line))
                }
                _ => None,
            };
            if let Some(problem) = problem {
                return Err(RulesError { line: rule.line, problem });
            }
        }
    }
    Ok(())
}
