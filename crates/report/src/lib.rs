//! Reports: pure folds over the journal.
