//! A program that is nothing but a worker, for the tests: `worker worker MARK`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((role, rest)) if role == squall_linux::step::worker::ROLE => squall_workers::main(rest),
        _ => {
            eprintln!("usage: worker worker MARK");
            ExitCode::from(2)
        }
    }
}
