//! Data planes: programs that must keep running while a fault is active.
