//! The command `vast-threatbus`: see the crate's documentation and the manual
//! page.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    vast_threatbus::cli::main()
}
