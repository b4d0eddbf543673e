//! Captures request/response pairs beside production and publishes them masked, off the hot path.
