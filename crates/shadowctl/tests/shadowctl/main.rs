//! The command as its users meet it: a process with arguments, an exit code and two streams.

mod command_line;
mod demo;
mod kill_switch;
mod launches;
mod rates;
mod support;
mod tables;
