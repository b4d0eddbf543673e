//! What the pipelines of all launches and the bookkeeping share.

use std::sync::Arc;
use std::time::Duration;

use shadow_control::ControlState;
use shadow_kafka::{Consumed, Delivery, KafkaConfig, Producer, dead_letter};
use shadow_record::DeadLetterReason;
use shadow_runtime::Instance;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::ComparatorSection;
use crate::metrics::Metrics;
use crate::store::Store;

/// Time between attempts to file a record.
const RETRY: Duration = Duration::from_secs(2);

/// Shared by every task of one comparator.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Shared {
    pub kafka: KafkaConfig,
    pub instance: Instance,
    pub settings: ComparatorSection,
    pub store: Store,
    pub metrics: Metrics,
    pub dead_letters: Producer,
    pub control: watch::Receiver<Arc<ControlState>>,
}

impl Shared {
    /// Puts a record that cannot be used on the dead-letter topic. `false` when the stop came first: then nothing may be
    /// committed past the record, so that it is read and filed again.
    #[must_use]
    pub(crate) async fn file(
        &self,
        record: &Consumed,
        reason: DeadLetterReason,
        detail: &str,
        stop: &CancellationToken,
    ) -> bool {
        let Consumed { topic, partition, offset, .. } = record;
        tracing::warn!(%topic, partition, offset, reason = reason.as_str(), detail, "record dead-lettered");
        let instance = self.instance.as_str();
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => return false,
                delivery = dead_letter(&self.dead_letters, record, reason, detail, instance) => delivery,
            };
            match delivery {
                Delivery::Acknowledged { .. } => return true,
                Delivery::Rejected(cause) | Delivery::InDoubt(cause) => {
                    tracing::warn!(cause, "the dead letter was not acknowledged; sending it again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}
