//! `shedder`: one binary, the daemon and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    shedder_user::cli::main()
}
