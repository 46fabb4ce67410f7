//! The load generator of `probes` as the engine's kind of load.

use squall_engine::load::{LoadMetrics, LoadSource, RunningLoad, Slice};
use squall_model::experiment;
use squall_probes::load::{self, Load, LoadPlan};
use std::time::Instant;

/// A load that was understood and can be started.
pub(crate) struct LoadOf {
    plan: LoadPlan,
}

impl LoadOf {
    /// Understands a `load` entry. Touches nothing.
    pub(crate) fn new(load: &experiment::Load) -> Result<Self, String> {
        squall_probes::load_plan(load).map(|plan| Self { plan }).map_err(|error| error.message)
    }
}

impl LoadSource for LoadOf {
    fn start(&self) -> Result<Box<dyn RunningLoad>, String> {
        let load = Load::start(self.plan.clone()).map_err(|error| error.to_string())?;
        Ok(Box::new(Running(load)))
    }
}

struct Running(Load);

impl RunningLoad for Running {
    fn window(&mut self) -> LoadMetrics {
        let reading = self.0.reading();
        load::METRICS.iter().filter_map(|(name, of)| Some(((*name).to_owned(), of(&reading)?))).collect()
    }

    fn trouble(&mut self) -> Option<String> {
        self.0.reading().trouble()
    }

    fn slices(&mut self, origin: Instant) -> Vec<Slice> {
        self.0.take_slices().iter().map(|slice| translated(slice, origin)).collect()
    }

    fn stop(&mut self) {
        // What is left comes with the next slices.
        self.0.end();
    }
}

fn translated(slice: &load::Slice, origin: Instant) -> Slice {
    let seconds = |instant: Instant| instant.saturating_duration_since(origin).as_secs_f64();
    let pair = |(value, count): &(u32, u64)| (*value, u32::try_from(*count).unwrap_or(u32::MAX));
    Slice {
        start: seconds(slice.start),
        end: seconds(slice.end),
        ended: slice.counts.ended(),
        success: slice.counts.success,
        available: slice.counts.available(),
        answered: slice.counts.answered(),
        latencies: slice.latencies.pairs().iter().map(pair).collect(),
        late: slice.late.max.as_secs_f64(),
        unknown: slice.counts.unknown,
    }
}
