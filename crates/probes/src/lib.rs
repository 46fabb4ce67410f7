//! Probes, metric sources and the load generator: they measure and never judge.

pub mod http_client;
pub mod load;

#[cfg(test)]
mod test_server;
