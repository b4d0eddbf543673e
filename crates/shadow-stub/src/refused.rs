//! What was refused before it was a call, and why: for `/metrics` and the heartbeats.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Why calls or connections were refused, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No handshake or no head in time, or neither TLS nor HTTP.
    Malformed,
    /// A handshake that failed: most often the shadow does not trust the authority.
    Handshake,
    /// TLS was asked for, and there is no authority.
    NoCa,
    /// The request names another host than the handshake or the tunnel did.
    Misdirected,
    /// A body beyond the limit, or one that ended early.
    Body,
    /// A body for which there was no room beside the others'.
    NoRoom,
    /// A request that names no host.
    NoHost,
    /// A mail connection that was cut off: endless lines or messages, too many mistakes or commands, or silence.
    Mail,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Handshake,
        Self::NoCa,
        Self::Misdirected,
        Self::Body,
        Self::NoRoom,
        Self::NoHost,
        Self::Mail,
    ];

    /// As metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Handshake => "handshake",
            Self::NoCa => "no_ca",
            Self::Misdirected => "misdirected",
            Self::Body => "body",
            Self::NoRoom => "no_room",
            Self::NoHost => "no_host",
            Self::Mail => "mail",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    reason: &'static str,
}

/// How many were refused. Clones count together.
#[derive(Clone, Debug)]
pub struct Refusals(pub(crate) Family<Reason, Counter>);

impl Default for Refusals {
    /// None yet; every reason shows from the beginning.
    fn default() -> Self {
        let refusals = Self(Family::default());
        for reason in Refused::ALL {
            refusals.counter(reason);
        }
        refusals
    }
}

impl Refusals {
    /// How many for this reason.
    pub fn of(&self, reason: Refused) -> u64 {
        self.counter(reason).get()
    }

    /// How many in all.
    pub fn all(&self) -> u64 {
        Refused::ALL.into_iter().map(|reason| self.of(reason)).sum()
    }

    pub(crate) fn count(&self, reason: Refused) {
        self.counter(reason).inc();
    }

    fn counter(&self, reason: Refused) -> Counter {
        self.0.get_or_create_owned(&Reason { reason: reason.as_str() })
    }
}
