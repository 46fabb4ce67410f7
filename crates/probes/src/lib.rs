//! Probes, metric sources and the load generator: they measure and never judge.
