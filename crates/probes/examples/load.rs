//! Sends load to a URL and prints what came of it: `load URL [--rate N] [--seconds N] [--connections N] [--http2]`.
//!
//! Without `--rate` it sends as fast as `--connections` (50) kept-alive connections allow, as `wrk -c` does.

use std::error::Error;
use std::time::Duration;

use squall_http::Request;
use squall_probes::load::{Load, LoadPlan, Slice};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read(std::env::args().skip(1))?;
    let mut plan = LoadPlan::new(Request::get(&options.url)?, options.rate);
    plan.connections = options.connections;
    plan.threads = options.threads;
    plan.http2 = options.http2;
    plan.streams = options.streams;
    plan.timeout = options.timeout;

    let load = Load::start(plan)?;
    let mut slices = Vec::new();
    for _ in 0..options.seconds {
        std::thread::sleep(Duration::from_secs(1));
        slices.extend(load.take_slices());
    }
    let reading = load.reading();
    slices.extend(load.stop());
    let Some(total) = slices.into_iter().reduce(|mut total, slice| {
        total.merge(&slice);
        total
    }) else {
        return Err("nothing was measured".into());
    };
    print(&total, reading.connections_opened, reading.last_error.as_deref());
    Ok(())
}

fn print(total: &Slice, connections: u64, last_error: Option<&str>) {
    let counts = &total.counts;
    println!("requests/s    {:.1}", counts.answered() as f64 / total.length().as_secs_f64());
    println!("intended      {}", counts.intended);
    println!("success       {}", counts.success);
    println!("failed        {}", counts.failed());
    println!("unfinished    {}", counts.unfinished());
    println!("connections   {connections}");
    for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        println!("{name:<13} {:.3} ms", total.quantile(q).unwrap_or(f64::NAN) * 1e3);
    }
    println!("late mean     {:.3} ms", total.late.mean().as_secs_f64() * 1e3);
    println!("late max      {:.3} ms", total.late.max.as_secs_f64() * 1e3);
    if let Some(error) = last_error {
        println!("last error    {error}");
    }
}

struct Options {
    url: String,
    rate: Option<f64>,
    seconds: u64,
    connections: usize,
    threads: usize,
    http2: bool,
    streams: usize,
    timeout: Duration,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            url: String::new(),
            rate: None,
            seconds: 10,
            connections: 50,
            threads: 1,
            http2: false,
            streams: 10,
            timeout: Duration::from_secs(10),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rate" => options.rate = Some(value()?.parse()?),
                "--seconds" => options.seconds = value()?.parse()?,
                "--connections" => options.connections = value()?.parse()?,
                "--threads" => options.threads = value()?.parse()?,
                "--streams" => options.streams = value()?.parse()?,
                "--timeout-ms" => options.timeout = Duration::from_millis(value()?.parse()?),
                "--http2" => options.http2 = true,
                url if !url.starts_with('-') => url.clone_into(&mut options.url),
                unknown => return Err(format!("unknown option {unknown}").into()),
            }
        }
        if options.url.is_empty() {
            return Err("usage: load URL [--rate N] [--seconds N] [--connections N] [--http2]".into());
        }
        Ok(options)
    }
}
