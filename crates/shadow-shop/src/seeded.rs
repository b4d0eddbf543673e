//! What a rehearsal of the candidate must find, in the words of the comparator: no less and, under the shipped rules, no more.

use serde::Serialize;

/// What kind of fault was seeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Another status for some input.
    ChangedStatus,
    /// A member of the answer has another name.
    RenamedField,
    /// A number is wrong in some answers.
    WrongNumber,
    /// The candidate breaks down on some input.
    ServerError,
    /// The answers are equal, and something was done once too often.
    ChargedTwice,
    /// The answers are equal, and something was done with another amount.
    WrongAmount,
    /// The answers are equal and late.
    Slow {
        /// How long the primary works on it.
        primary_ms: u64,
        /// How long the candidate does.
        candidate_ms: u64,
    },
}

/// One differing place as the comparator reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SeededDifference {
    /// Such as `$.total`, `status` or, for what was asked of others, `effects POST pay.example/v1/charges`.
    pub place: &'static str,
    /// Such as `value` or `missing`.
    pub kind: &'static str,
    /// Such as `changed` or `404->400`.
    pub transition: &'static str,
}

/// One seeded regression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seeded {
    /// A short name for reports.
    pub name: &'static str,
    /// The route on which it shows, as records name it.
    pub route: &'static str,
    /// What kind of fault it is.
    pub fault: Fault,
    /// Every signature it produces, the telling one first; none for [`Fault::Slow`], which shows in latency only.
    pub differences: Vec<SeededDifference>,
    /// What is wrong, for people.
    pub why: &'static str,
}

const fn difference(place: &'static str, kind: &'static str, transition: &'static str) -> SeededDifference {
    SeededDifference { place, kind, transition }
}

/// Every seeded regression.
pub fn seeded() -> Vec<Seeded> {
    vec![
        Seeded {
            name: "changed status",
            route: "GET /products/{id}",
            fault: Fault::ChangedStatus,
            differences: vec![difference("status", "status", "404->400")],
            why: "an unknown product is answered with 400 instead of 404",
        },
        Seeded {
            name: "renamed field",
            route: "GET /orders/{id}",
            fault: Fault::RenamedField,
            differences: vec![
                difference("$.total", "missing", "number->absent"),
                difference("$.total_price", "added", "absent->number"),
            ],
            why: "`total` is called `total_price`",
        },
        Seeded {
            name: "wrong number",
            route: "GET /carts/{id}",
            fault: Fault::WrongNumber,
            differences: vec![difference("$.total", "value", "changed")],
            why: "the total of one cart in fifty is a cent too high",
        },
        Seeded {
            name: "server error",
            route: "GET /search",
            fault: Fault::ServerError,
            differences: vec![
                difference("status", "status", "200->500"),
                difference("$.count", "missing", "number->absent"),
                difference("$.results", "missing", "array->absent"),
                difference("$.error", "added", "absent->string"),
            ],
            why: "a search for `%` breaks down",
        },
        Seeded {
            name: "slow route",
            route: "GET /reports/sales",
            fault: Fault::Slow { primary_ms: 5, candidate_ms: 60 },
            differences: Vec::new(),
            why: "the sales report takes 60 ms instead of 5 ms",
        },
        Seeded {
            name: "charged twice",
            route: "POST /checkouts",
            fault: Fault::ChargedTwice,
            differences: vec![difference("effects POST pay.example/v1/charges", "added", "1->2")],
            why: "a gift is charged twice; the answer is the same",
        },
        Seeded {
            name: "wrong amount",
            route: "POST /checkouts",
            fault: Fault::WrongAmount,
            differences: vec![difference("effects POST pay.example/v1/charges $.amount[*]", "value", "changed")],
            why: "a charge in dollars is rounded down; the answer is the same",
        },
    ]
}
