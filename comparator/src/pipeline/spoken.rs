//! What a record of the replayed topic says, if it belongs where it stands.

use shadow_kafka::Consumed;
use shadow_record::{AnyRecord, DeadLetterReason, LaunchName, ReplayedExchange, decode_any};

use crate::classify::RangeInfo;

/// Which captured offsets a replayed record speaks of, and what it says.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) low_watermark: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Outcome(Box<ReplayedExchange>),
    Range(RangeInfo),
}

/// Why a record cannot be used, and the detail that its dead letter gives.
pub(super) type Unusable = (DeadLetterReason, String);

impl Spoken {
    /// Reads a record of the replayed topic of `launch`.
    pub(super) fn of(launch: &LaunchName, record: &Consumed) -> Result<Self, Unusable> {
        let any = decode_any(&record.payload).map_err(|error| (error.reason(), error.to_string()))?;
        let (of, partition, spoken) = match any {
            AnyRecord::ReplayedExchange(r) => {
                let (first, last, low_watermark) = (r.offset, r.offset, r.low_watermark);
                (r.launch.clone(), r.partition, Self { low_watermark, first, last, what: What::Outcome(r) })
            }
            AnyRecord::SkippedRange(r) => {
                let what = What::Range(RangeInfo { reason: r.reason, replayer: r.replayer, at: r.at });
                (r.launch, r.partition, Self { low_watermark: r.low_watermark, first: r.first, last: r.last, what })
            }
            other => return Err((DeadLetterReason::UnexpectedKind, other.name().to_owned())),
        };
        if of != *launch {
            return Err((DeadLetterReason::UnexpectedKind, format!("of launch {of}")));
        }
        if partition != record.partition {
            return Err((DeadLetterReason::WrongPartition, format!("speaks of partition {partition}")));
        }
        if spoken.first < 0 || spoken.last < spoken.first {
            return Err((DeadLetterReason::Undecodable, format!("offsets {} to {}", spoken.first, spoken.last)));
        }
        Ok(spoken)
    }
}
