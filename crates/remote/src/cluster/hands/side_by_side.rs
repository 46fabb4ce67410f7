//! Calls that wait for a cluster, many at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// So many wait at the same time: as many as make a wave, so that a wave takes no longer than its slowest call.
const AT_ONCE: usize = 32;

/// Does the work for each item; what came of each, in order.
pub(super) fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if let [one] = items {
        return vec![work(one)];
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let one = || {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, work(item)))
        };
        std::iter::from_fn(one).collect::<Vec<_>>()
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..items.len().min(AT_ONCE)).map(|_| scope.spawn(take)).collect();
        // A thread that panics panics here.
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_its_result_and_all_wait_together() {
        let barrier = std::sync::Barrier::new(AT_ONCE);
        let items: Vec<usize> = (0..AT_ONCE * 3).collect();
        // It would never end if they came one after another.
        let doubled = side_by_side(&items, |item| {
            barrier.wait();
            item * 2
        });
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(side_by_side(&[] as &[usize], |item| *item), Vec::<usize>::new());
    }
}
