//! What the tests of every probe need: to build one from parameters, and to ask it.

use squall_model::probe::{Observe, Probe, ProbeError};
use squall_model::value::Reading;

/// The probe with these parameters.
pub(crate) fn built<P: Probe>(parameters: serde_json::Value) -> P {
    P::new(serde_json::from_value(parameters).unwrap()).unwrap()
}

/// Why there is no probe with these parameters.
pub(crate) fn refusal<P: Probe>(parameters: serde_json::Value) -> String {
    match serde_json::from_value(parameters.clone()) {
        Err(error) => error.to_string(),
        Ok(decoded) => match P::new(decoded) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{parameters} was accepted"),
        },
    }
}

/// Asks once, on a runtime such as the engine's.
pub(crate) fn ask(probe: &impl Observe) -> Result<Reading, ProbeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(probe.observe())
}
