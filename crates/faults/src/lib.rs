//! Planners: from a fault's parameters and facts about the host to reversible steps.
