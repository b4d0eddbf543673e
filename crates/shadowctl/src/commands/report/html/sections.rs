//! The sections of the page. Each says so when there is nothing to show.

mod calls;
mod changes;
mod evidence;
mod faults;
mod gates;

pub(super) use calls::calls;
pub(super) use changes::{expected, noise};
pub(super) use evidence::{latency, ledger, routes, time};
pub(super) use faults::faults;
pub(super) use gates::gates;
