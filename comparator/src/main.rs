//! The comparator. See the library's documentation for the flow.
fn main() -> std::process::ExitCode {
    comparator::main_with(std::env::args_os())
}
