//! The command as its users meet it: a process with arguments, an exit code and two streams.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on fails, and says what it skips")]

mod command_line;
mod demo;
mod diff;
mod drill;
mod forget;
mod import;
mod kill_switch;
mod launches;
mod mask;
mod preflight;
mod ramps;
mod rates;
mod refusals;
mod support;
mod tables;
mod verdict;
