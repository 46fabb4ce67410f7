//! From a file to an experiment.
