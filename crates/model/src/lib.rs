//! The vocabulary of Squall.
