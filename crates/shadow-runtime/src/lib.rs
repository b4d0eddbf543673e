//! What every service shares: config layering, telemetry, admin endpoint, lifecycle.
