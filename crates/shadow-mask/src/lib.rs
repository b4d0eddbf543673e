//! Deterministic, idempotent masking of exchanges under a keyed HMAC.
