//! What the service under test asks of others for one order, which faults a candidate makes of that, and what a comparison must find. Pure.

use std::collections::BTreeSet;

/// The generated set is the same on every machine.
const SEED: u64 = 7;

/// In how many ways calls tell of their request, by turns of orders.
pub(crate) const TELLING: u32 = 4;

/// What is wrong with one call of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Twice,
    Missing,
    Amount,
    Recipient,
}

/// One call that the live version makes for every order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Charge,
    Entry,
    Mail,
}

/// In the order in which the live version makes them.
pub(crate) const KINDS: [Kind; 3] = [Kind::Charge, Kind::Entry, Kind::Mail];

/// What an order is about, as the request said.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) number: u32,
    pub(crate) amount: u32,
    pub(crate) email: String,
}

/// One call as it is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    /// Only half of the calls have one: a key makes one intent of two calls, whatever made the second one.
    pub(crate) idempotency_key: Option<String>,
    pub(crate) body: String,
}

/// What a candidate does wrong for one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    faults: [Option<Fault>; 3],
    /// The call that comes before the one that it follows on the live version.
    early: Option<usize>,
    /// A call that the live version does not make at all.
    uninvited: bool,
}

impl Kind {
    fn method(self) -> &'static str {
        if self == Self::Entry { "PUT" } else { "POST" }
    }

    /// As rules of the stub, routes of the agent and differences name it.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::Charge => "/v1/charges",
            Self::Entry => "/entries/{id}",
            Self::Mail => "/v1/messages",
        }
    }

    /// Where the amount stands in its body.
    fn amount(self) -> &'static str {
        if self == Self::Charge { "$.amount[*]" } else { "$.amount" }
    }

    fn recipient(self) -> &'static str {
        match self {
            Self::Charge => "$.receipt_email[*]",
            Self::Entry => "$.customer",
            Self::Mail => "$.to",
        }
    }

    fn call(self, order: &Order, fault: Option<Fault>, repetition: u32) -> Call {
        let Order { number, amount, email } = order;
        let amount = amount + u32::from(fault == Some(Fault::Amount));
        let email = if fault == Some(Fault::Recipient) { "somebody-else@mail.example" } else { email };
        let body = match self {
            // The sign is all that a form must escape here.
            Self::Charge => format!("amount={amount}&currency=EUR&receipt_email={}", email.replace('@', "%40")),
            Self::Entry => format!(r#"{{"amount":{amount},"customer":"{email}"}}"#),
            Self::Mail => format!(r#"{{"to":"{email}","template":"receipt","amount":{amount}}}"#),
        };
        // Of the calls of every order some have a key and some have none, whatever the order tells its calls by.
        let keyed = (number / TELLING + self as u32).is_multiple_of(2);
        Call {
            method: self.method(),
            path: self.route().replace("{id}", &number.to_string()),
            content_type: if self == Self::Charge { "application/x-www-form-urlencoded" } else { "application/json" },
            idempotency_key: keyed.then(|| format!("{self:?}-{number}-{repetition}")),
            body,
        }
    }
}

impl Plan {
    /// What a candidate does wrong for each of `orders` orders: every fault alone on every call first, then combinations by chance.
    pub(crate) fn generate(orders: u32) -> Vec<Self> {
        let mut random = fastrand::Rng::with_seed(SEED);
        (0..orders).map(|number| Self::single(number as usize).unwrap_or_else(|| Self::combined(&mut random))).collect()
    }

    fn single(number: usize) -> Option<Self> {
        let fault = [Fault::Twice, Fault::Missing, Fault::Amount, Fault::Recipient].get(number / KINDS.len());
        let of_call = fault.map(|fault| {
            let mut plan = Self::default();
            plan.faults[number % KINDS.len()] = Some(*fault);
            plan
        });
        of_call.or_else(|| match number - 4 * KINDS.len() {
            0 => Some(Self { early: Some(1), ..Self::default() }),
            1 => Some(Self { early: Some(2), ..Self::default() }),
            2 => Some(Self { uninvited: true, ..Self::default() }),
            _ => None,
        })
    }

    fn combined(random: &mut fastrand::Rng) -> Self {
        let mut plan = Self::default();
        for fault in &mut plan.faults {
            *fault = match random.u32(0..12) {
                0 => Some(Fault::Twice),
                1 => Some(Fault::Missing),
                2 => Some(Fault::Amount),
                3 => Some(Fault::Recipient),
                _ => None,
            };
        }
        // What is not called has no place in the order, and of two equal calls none can be told to be the one that came early.
        let early = random.usize(1..KINDS.len());
        let once = |at: usize| !matches!(plan.faults[at], Some(Fault::Missing | Fault::Twice));
        let both = once(early - 1) && once(early);
        plan.early = (both && random.u32(0..6) == 0).then_some(early);
        plan.uninvited = random.u32(0..10) == 0;
        plan
    }

    /// The calls in the order in which they are made.
    pub(crate) fn calls(&self, order: &Order) -> Vec<Call> {
        let mut kinds = [0, 1, 2];
        if let Some(early) = self.early {
            kinds.swap(early - 1, early);
        }
        let mut calls = Vec::new();
        for at in kinds {
            let (kind, fault) = (KINDS[at], self.faults[at]);
            let times = match fault {
                Some(Fault::Missing) => 0,
                Some(Fault::Twice) => 2,
                _ => 1,
            };
            calls.extend((0..times).map(|repetition| kind.call(order, fault, repetition)));
        }
        if self.uninvited {
            let body = format!(r#"{{"order":{}}}"#, order.number);
            let idempotency_key = None;
            let (method, path, content_type) = ("POST", "/v1/track".to_owned(), "application/json");
            calls.push(Call { method, path, content_type, idempotency_key, body });
        }
        calls
    }

    /// Place, kind and transition of everything that differs from the live version's calls, all of which go to `destination`.
    pub(crate) fn differences(&self, destination: &str) -> BTreeSet<String> {
        let mut expected = BTreeSet::new();
        let mut expect = |kind: Kind, more: String| {
            expected.insert(format!("effects {} {destination}{}{more}", kind.method(), kind.route()));
        };
        for (kind, fault) in KINDS.into_iter().zip(self.faults) {
            match fault {
                None => {}
                Some(Fault::Twice) => expect(kind, " added 1->2".to_owned()),
                Some(Fault::Missing) => expect(kind, " missing 1->0".to_owned()),
                Some(Fault::Amount) => expect(kind, format!(" {} value changed", kind.amount())),
                Some(Fault::Recipient) => expect(kind, format!(" {} value changed", kind.recipient())),
            }
        }
        if let Some(early) = self.early {
            expect(KINDS[early - 1], " order reordered".to_owned());
        }
        if self.uninvited {
            expected.insert(format!("effects POST {destination}/v1/track added 0->1"));
        }
        expected
    }
}
