//! What the tests of the built program share: processes that go with a test, and waiting.

use std::process::Child;
use std::time::Duration;

/// A process that is gone with the test.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for what must come and may take its time on a busy machine.
#[track_caller]
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not come to be so within a minute");
}
