//! Ends a process of Squall's at a chosen instant, for the torture tests: only in builds with the feature `failpoints`.

use squall_engine::crash::Hook;

/// The variables that choose the instant, one for each who changes a system: an agent's warden has its environment.
pub(crate) const AGENT: &str = "SQUALL_CRASH_AT";
pub(crate) const WARDEN: &str = "SQUALL_CRASH_WARDEN_AT";
pub(crate) const RECOVERY: &str = "SQUALL_CRASH_RECOVERY_AT";

/// The hook that such a variable asks for, such as `after_apply:2`.
#[cfg(feature = "failpoints")]
pub(crate) fn hook(variable: &str) -> Result<Hook, String> {
    use squall_engine::crash::{self, CrashAt};
    let Ok(text) = std::env::var(variable) else { return Ok(crash::none()) };
    let crash_at: CrashAt = text.parse()?;
    Ok(crash_at.hook(|| {
        // As the kernel would: no destructor runs, nothing is flushed.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }))
}

/// A product build reaches the crash points and nothing happens.
#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "the torture build reads a variable that may be wrong")]
pub(crate) fn hook(_variable: &str) -> Result<Hook, String> {
    Ok(squall_engine::crash::none())
}
