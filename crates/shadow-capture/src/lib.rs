//! Everything behind the tee: watches exchanges pass, samples, masks and publishes them, and keeps the account of every request.
//!
//! ```text
//! proxy or layer                    where exchanges pass: the capture agent, or a service itself
//!   | tee                           bounded copies of both bodies
//!   | sample -> observe             one raw exchange when all has passed, or broken off
//!   v handover                      one try_send; full = counted drop
//! mask -> publish                   own threads, of lower priority; Kafka's queue full = counted drop
//!   v
//! shadow.captured.<service>         key = HMAC(session), else of the request ID
//! ```
//!
//! The files carry the names of the steps, and `pipeline` reads as the whole line. Beside the line, `announce` publishes
//! heartbeats and where production is, and pauses every launch when a replayed request comes in; `watchdog` pauses capturing when
//! the traffic is being felt. `effects` sees the calls that the primary makes, which take the same steps into
//! `shadow.effects.<service>`. `recorded` takes the same steps with exchanges of a recording, where nobody is being served.
//!
//! Guarantees:
//! - **Nobody waits.** No request waits for anything behind the hand-over: with Kafka absent, slow or dead the traffic flows.
//! - **A panic in here costs a record, never a request** (`observe`, `tee`, `mask`).
//! - **Nothing raw leaves.** Only `mask` sees a raw exchange after the hand-over, and only masked records go further.
//! - **Every request is accounted for** exactly once, on whatever path it ends (`ledger`), also when the process is killed
//!   (`last_words`).
//! - **Memory is bounded** by `capture.budget`, `capture.queue` and `capture.outbox`.

mod announce;
mod beside;
mod config;
mod effects;
pub mod fault;
pub mod handover;
pub mod head;
mod last_words;
mod latency;
mod ledger;
mod mask;
mod metrics;
mod observe;
mod pause;
mod pipeline;
mod publish;
mod recorded;
mod sample;
pub mod tee;
mod watchdog;

pub use announce::Production;
pub use config::{CaptureSection, InvalidThreshold, ServiceSection, Threshold};
pub use effects::{Calls, Destination, Effects, Marked, UnderWay};
pub use handover::Handover;
pub use latency::{Histogram, Latency, measure_lag};
pub use ledger::{Account, DropReason, Ended, Exclusion, Found, Ledger, LeftAccount, Ticket, Unreadable, survey};
pub use observe::{Observation, Observer, RawAnswer, RawExchange, RawHead, RequestSide, ResponseSide};
pub use pause::{Alarm, Pause};
pub use pipeline::{Capture, EffectsSettings, Settings, StartError};
pub use recorded::{Recorded, Recorder, Sealer, Unrecordable};
pub use sample::{Sampler, SamplingConfig, SamplingError};
