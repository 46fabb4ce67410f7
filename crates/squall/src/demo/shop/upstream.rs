//! A service that another one calls, and the rules for calling it: the place where the shop is weak or not.
//!
//! The naive shop and the fixed one run through the very same lines; only the [`CallPolicy`] differs. The order
//! matters: the breaker is asked first (a call not made costs nothing), the timeout holds for the wait in line
//! as well as for the answer (the customer waits for both), and a retry is made only if the budget pays.
//!
//! On timeouts: *Release It!*, chapter 5, "Timeouts". A call without one is a bet that the other side, the
//! network and every lock between them will never hang.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use super::Service;
use super::breaker::Breaker;
use super::config::{CallPolicy, Layout};
use super::metrics::Page;
use super::pool::{Answer, Outgoing, Pool, Trouble};
use super::retry_budget::RetryBudget;

/// How long a look at the upstream's `/health` may take.
const PING_PATIENCE: Duration = Duration::from_millis(500);

/// A failed call.
#[derive(Debug, Error)]
#[error("{service} at {address}: {trouble}")]
pub(super) struct CallError {
    service: Service,
    address: std::net::SocketAddr,
    trouble: Trouble,
}

/// A service that is called by this one.
#[derive(Debug)]
pub(super) struct Upstream {
    service: Service,
    policy: CallPolicy,
    pool: Pool,
    budget: Option<RetryBudget>,
    breaker: Option<Breaker>,
    retries: AtomicU64,
}

impl Upstream {
    /// The service where the layout has it, called as the policy says.
    pub(super) fn new(service: Service, layout: &Layout, policy: &CallPolicy) -> Self {
        Self {
            service,
            policy: policy.clone(),
            pool: Pool::new(layout.address(service), policy.connections, policy.waiting),
            budget: policy.retry_budget.map(RetryBudget::new),
            breaker: policy.breaker.map(Breaker::new),
            retries: AtomicU64::new(0),
        }
    }

    /// Calls, with as many tries as the policy allows. An answer of 5xx is a failure, any other is an answer.
    pub(super) async fn call(&self, request: &Outgoing) -> Result<Answer, CallError> {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
        let mut tries_left = self.policy.retries;
        loop {
            let trouble = match self.attempt(request).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            if tries_left == 0 || !worth_a_retry(&trouble) || !self.may_retry() {
                return Err(self.error(trouble));
            }
            tries_left -= 1;
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn attempt(&self, request: &Outgoing) -> Result<Answer, Trouble> {
        let pass = match &self.breaker {
            Some(breaker) => Some(breaker.admit().ok_or(Trouble::BreakerOpen)?),
            None => None,
        };
        let result = match self.policy.timeout() {
            Some(limit) => match timeout(limit, self.pool.send(request)).await {
                Ok(result) => result,
                Err(_) => Err(Trouble::TimedOut(limit.as_millis())),
            },
            None => self.pool.send(request).await,
        };
        let result = result.and_then(|answer| {
            if answer.status.is_server_error() { Err(Trouble::Status(answer.status)) } else { Ok(answer) }
        });
        if let Some(pass) = pass {
            pass.end(result.is_err());
        }
        result
    }

    fn may_retry(&self) -> bool {
        self.budget.as_ref().is_none_or(RetryBudget::withdraw)
    }

    /// Whether the upstream says that it is alive, asked past the line and the breaker.
    pub(super) async fn ping(&self) -> Result<(), CallError> {
        let trouble = match timeout(PING_PATIENCE, self.pool.exchange(&Outgoing::get("/health"))).await {
            Ok(Ok(answer)) if answer.status.is_success() => return Ok(()),
            Ok(Ok(answer)) => Trouble::Status(answer.status),
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::TimedOut(PING_PATIENCE.as_millis()),
        };
        Err(self.error(trouble))
    }

    /// The error for an answer that is no use here.
    pub(super) fn refused(&self, answer: &Answer) -> CallError {
        self.error(Trouble::Status(answer.status))
    }

    /// The error for trouble with this upstream.
    pub(super) fn error(&self, trouble: Trouble) -> CallError {
        CallError { service: self.service, address: self.pool.address(), trouble }
    }

    /// Adds the state of the line, the budget and the breaker to a page of metrics.
    pub(super) fn describe(&self, page: &mut Page) {
        let name = self.service.name();
        let depth = self.pool.depth() as u64;
        page.gauge("queue_depth", "Work that waits, or is under way.", &[("queue", name)], depth);
        let retries = self.retries.load(Ordering::Relaxed);
        page.counter("retries_total", "Calls made again after a failure.", &[("upstream", name)], retries);
        if let Some(breaker) = &self.breaker {
            let open = u64::from(breaker.is_open());
            page.gauge("breaker_open", "1 while calls are turned away.", &[("upstream", name)], open);
        }
    }
}

/// Not when it was never sent because of us.
fn worth_a_retry(trouble: &Trouble) -> bool {
    !matches!(trouble, Trouble::Full | Trouble::BreakerOpen | Trouble::Request(_))
}
