//! The engine: plan, inject, observe, guard, verdict, undo, recovery.
