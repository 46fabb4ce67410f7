//! Benchmarks: each figure beside its peer's, measured in the same run, turn by turn.
//!
//! Other work on the machine strikes both sides alike that way, so the factor between them says more than either time.
//! An aim that is missed is reported and never fails the chore: a busy machine is not a fault of the product.

mod abort;
mod agent;
mod builds;
mod conditions;
mod experiment;
mod figures;
mod history;
mod load;
mod memory;
mod network;
mod page;
mod peers;
mod processes;
mod scale;
mod server;
mod sessions;
mod size;
mod start;
mod victims;

use crate::{Outcome, shell};
use figures::{Met, Row};
use processes::Scratch;

/// One benchmark.
struct Benchmark {
    /// What it is called on the command line, and its marker in the page.
    name: &'static str,
    /// What it is about, in words.
    title: &'static str,
    /// How it is measured: what stands below its title in the page.
    how: &'static str,
    /// Whether it takes many minutes and runs only where it is asked for.
    slow: bool,
    /// Measures.
    run: fn(&Scratch) -> Result<Vec<Row>, String>,
}

const BENCHMARKS: &[&Benchmark] = &[
    &experiment::BENCHMARK,
    &start::BENCHMARK,
    &network::BENCHMARK,
    &abort::BENCHMARK,
    &load::BENCHMARK,
    &conditions::BENCHMARK,
    &sessions::BENCHMARK,
    &memory::BENCHMARK,
    &history::BENCHMARK,
    &size::BENCHMARK,
    &scale::BENCHMARK,
    &builds::BENCHMARK,
];

/// `cargo xtask bench [NAME…] [--write] [--all]`
pub(crate) fn run(arguments: &[String]) -> Outcome {
    if let [first, rest @ ..] = arguments
        && first == network::INSIDE
    {
        return network::inside(rest);
    }
    let (options, names): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with("--"));
    let known = |name: &&&String| BENCHMARKS.iter().any(|benchmark| benchmark.name == name.as_str());
    let unknown_option = options.iter().find(|option| !["--write", "--all"].contains(&option.as_str()));
    if let Some(unknown) = unknown_option.or_else(|| names.iter().find(|name| !known(name))) {
        let known: Vec<&str> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
        return Err(format!(
            "no {unknown} here; usage: cargo xtask bench [NAME…] [--write] [--all], NAME one of {}",
            known.join(", ")
        ));
    }
    let asked = |option: &str| options.iter().any(|given| *given == option);
    let chosen = BENCHMARKS.iter().filter(|benchmark| {
        let slow = benchmark.slow && asked("--all");
        names.contains(&&benchmark.name.to_owned()) || (names.is_empty() && !benchmark.slow) || slow
    });

    peers::provide()?;
    let mut failures = Vec::new();
    for benchmark in chosen {
        match measure(benchmark, asked("--write")) {
            Ok(missed) if missed.is_empty() => {}
            Ok(missed) => eprintln!("── {}: aim missed: {}", benchmark.name, missed.join("; ")),
            Err(error) => failures.push(format!("{}: {error}", benchmark.name)),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n  ")) }
}

/// Runs one benchmark, prints its table, writes it to the page where wanted; the figures that miss their aims.
fn measure(benchmark: &Benchmark, write: bool) -> Result<Vec<String>, String> {
    eprintln!("── bench {}: {}", benchmark.name, benchmark.title);
    let circumstances = page::circumstances(benchmark.name)?;
    let scratch = Scratch::new()?;
    let rows = (benchmark.run)(&scratch)?;
    let table = figures::table(&rows);
    println!("\n### {}\n\n{table}\n{circumstances}\n", benchmark.title);
    if write {
        let body = format!("## {}\n\n{}\n\n{table}\n{circumstances}\n", benchmark.title, benchmark.how);
        page::write(benchmark.name, &body)?;
    }
    Ok(rows.iter().filter(|row| row.met == Met::No).map(|row| row.what.clone()).collect())
}

/// Builds a program of the project as users get it, and says where it is.
fn release(package: &str, example: Option<&str>) -> Result<std::path::PathBuf, String> {
    let mut arguments = vec!["build", "--quiet", "--release", "--package", package];
    arguments.extend(example.iter().flat_map(|name| ["--example", name]));
    let title = format!("release build of {}", example.unwrap_or(package));
    shell::run(&title, &mut shell::command("cargo", &arguments))?;
    let folder = shell::root().join("target/release");
    Ok(example.map_or_else(|| folder.join(package), |name| folder.join("examples").join(name)))
}
