//! What masking promises, seen from outside: cases as snapshots, properties over arbitrary messages, and a search for leaks.

mod cases;
mod credentials;
mod formats;
mod leaks;
mod mutations;
mod properties;
mod support;
