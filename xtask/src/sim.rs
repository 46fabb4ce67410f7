//! The simulator from the command line: many seeds, or one again.

use crate::{Outcome, shell};

/// `cargo xtask sim [--seeds COUNT | --seed N]`
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let mut command = shell::command(
        "cargo",
        &["test", "--release", "--package", "squall-engine", "--", "--nocapture", "sim"],
    );
    match arguments {
        [] => {}
        [flag, count] if flag == "--seeds" => {
            command.env("SQUALL_SIM_SEEDS", count);
        }
        [flag, seed] if flag == "--seed" => {
            command.env("SQUALL_SIM_SEED", seed);
        }
        _ => return Err("usage: cargo xtask sim [--seeds COUNT | --seed N]".to_owned()),
    }
    shell::run("simulator", &mut command)
}
