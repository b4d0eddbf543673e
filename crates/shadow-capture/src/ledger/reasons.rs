//! Why a request was left out or lost, each with the word that metrics, heartbeats and account files use for it.

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The reason as metrics and heartbeats spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

reasons! {
    /// Why a request is not meant to be captured.
    Exclusion {
        /// It carries the replayer's mark: the shadow has reached production.
        Replayed => "replayed",
        /// The configured filters leave it out.
        Filtered => "filtered",
        /// An upgraded connection, or a CONNECT: bytes without requests.
        Tunnel => "tunnel",
        /// Capturing is paused on this agent.
        Paused => "paused",
        /// The watchdog paused capturing: the agent was adding more time than it may.
        Overload => "overload",
        /// It was refused and never reached the primary.
        Refused => "refused",
    }
}

reasons! {
    /// Why a request that should have been captured was not published.
    DropReason {
        /// The queue behind the hot path was full.
        QueueFull => "queue_full",
        /// The process-wide budget left no room for the request's head.
        Budget => "budget",
        /// Masking panicked on it.
        MaskPanic => "mask_panic",
        /// Putting the exchange together panicked.
        CapturePanic => "capture_panic",
        /// The Kafka client's own queue was full.
        KafkaQueueFull => "kafka_queue_full",
        /// The Kafka client refused the record, as when it is too large.
        Unpublishable => "unpublishable",
        /// The brokers did not take it.
        DeliveryFailed => "delivery_failed",
        /// The agent stopped before it was handed to Kafka.
        Stopped => "stopped",
    }
}
