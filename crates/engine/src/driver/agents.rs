//! The agent of a run: started and greeted, called within time limits, told every second that we are here.

use super::{Inbox, Message};
use crate::link::{AgentLink, LinkError, Links};
use crate::run::{Identity, Input};
use squall_model::probe::Pending;
use squall_model::protocol::{Answer, Call, Restored, VERSION};
use squall_model::server::ServerUrl;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, timeout};

/// How long the start of an agent may take: another host may have to be given the binary first.
const CONNECTS_WITHIN: Duration = Duration::from_secs(30);

/// How long a plan may take: agents may have to be started on nodes of a cluster, which fetch an image first.
const PLANS_WITHIN: Duration = Duration::from_mins(3);

/// How often the agent hears from us at least.
const RENEWS_EVERY: Duration = Duration::from_secs(1);

/// An agent that was started and greeted, and what it put back on start.
pub(super) struct Linked {
    attempt: u64,
    link: Arc<dyn AgentLink>,
    recovered: Vec<Restored>,
}

/// Where the tasks of one agent send what they have to tell.
#[derive(Clone)]
struct News {
    attempt: u64,
    inbox: Inbox,
}

impl News {
    fn send(&self, input: Input) {
        // That the loop is gone means that nobody needs the agent.
        let _ = self.inbox.0.send(Message::OfAgent(self.attempt, input));
    }
}

/// The agent of a run, if there is one now.
pub(super) struct Agents {
    links: Arc<dyn Links>,
    hello: Call,
    lease: Duration,
    started: Instant,
    inbox: Inbox,
    attempt: u64,
    link: Option<Arc<dyn AgentLink>>,
    /// The task that starts the agent, and then the one that keeps telling it that we are here.
    task: Option<AbortHandle>,
    /// Calls that are not answered yet; nobody waits for those to an agent that was let go.
    calls: JoinSet<()>,
    /// How many of them this agent has not answered yet.
    busy: Arc<AtomicUsize>,
}

impl Agents {
    /// None is started yet. `servers` are those that the experiment names.
    pub(super) fn new(
        links: Arc<dyn Links>,
        identity: &Identity,
        servers: Vec<ServerUrl>,
        started: Instant,
        inbox: Inbox,
    ) -> Self {
        let hello = Call::Hello {
            version: VERSION,
            run: identity.run.clone(),
            lease: identity.lease,
            looks_only: false,
            servers,
        };
        let (lease, calls) = (identity.lease.0, JoinSet::new());
        Self {
            links,
            hello,
            lease,
            started,
            inbox,
            attempt: 0,
            link: None,
            task: None,
            calls,
            busy: Arc::default(),
        }
    }

    /// Starts an agent and greets it, in place of any earlier one.
    pub(super) fn connect(&mut self) {
        self.let_go();
        let (attempt, inbox, hello) = (self.attempt, self.inbox.clone(), self.hello.clone());
        let news = self.news();
        let connecting = self.links.connect();
        let greeted = async move {
            let link = connecting.await?;
            let recovered = greet(&*link, hello).await?;
            Ok::<_, String>(Linked { attempt, link, recovered })
        };
        let task = tokio::spawn(async move {
            match timeout(CONNECTS_WITHIN, greeted).await {
                // That the loop is gone means that nobody needs the agent.
                Ok(Ok(linked)) => drop(inbox.0.send(Message::Linked(linked))),
                Ok(Err(why)) => news.send(Input::Connected(Err(why))),
                Err(_) => {
                    let limit = CONNECTS_WITHIN.as_secs();
                    news.send(Input::Connected(Err(format!("it did not answer within {limit} s"))));
                }
            }
        });
        self.task = Some(task.abort_handle());
    }

    /// An agent was started: from now on it is called, and hears from us. None where it came too late.
    pub(super) fn linked(&mut self, linked: Linked) -> Option<Vec<Restored>> {
        if linked.attempt != self.attempt {
            return None;
        }
        self.busy = Arc::default();
        let busy = Arc::clone(&self.busy);
        let heartbeat = keep_renewing(Arc::clone(&linked.link), self.lease, busy, self.started, self.news());
        self.task = Some(tokio::spawn(heartbeat).abort_handle());
        self.link = Some(linked.link);
        Some(linked.recovered)
    }

    /// Sends a call at once; the answer comes to the inbox, within the call's time limit.
    pub(super) fn call(&mut self, number: u64, call: Call) {
        let Some(link) = &self.link else {
            let lost = Err(LinkError::Lost("there is no agent".to_owned()));
            self.news().send(Input::Answered(number, lost, 0.0));
            return;
        };
        let limit = time_limit(&call, self.lease);
        let (called, answer, news) = (Instant::now(), link.call(call), self.news());
        while self.calls.try_join_next().is_some() {}
        let busy = Arc::clone(&self.busy);
        busy.fetch_add(1, Ordering::Relaxed);
        self.calls.spawn(async move {
            let answer = timeout(limit, answer).await.unwrap_or_else(|_| {
                Err(LinkError::Lost(format!("it did not answer within {:.0} s", limit.as_secs_f64())))
            });
            busy.fetch_sub(1, Ordering::Relaxed);
            news.send(Input::Answered(number, answer, called.elapsed().as_secs_f64()));
        });
    }

    /// What this agent, or the attempt to start it, will tell.
    fn news(&self) -> News {
        News { attempt: self.attempt, inbox: self.inbox.clone() }
    }

    /// Whether news is of the agent that there is now. A lost agent is told of by every call that waited for it; heard
    /// once it is let go, such news must not end the attempt to start the next one.
    pub(super) fn is_current(&self, attempt: u64) -> bool {
        attempt == self.attempt
    }

    /// Lets go of an agent that is lost, and says why it is.
    pub(super) fn notice(&mut self, input: &Input) -> Option<String> {
        let (Input::Lost(why) | Input::Answered(_, Err(LinkError::Lost(why)), _)) = input else {
            return None;
        };
        self.let_go();
        Some(why.clone())
    }

    /// Lets go of the agent, or of the attempt to start one.
    pub(super) fn let_go(&mut self) {
        self.attempt += 1;
        self.link = None;
        self.calls.abort_all();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.let_go();
    }
}

async fn greet(link: &dyn AgentLink, hello: Call) -> Result<Vec<Restored>, String> {
    match link.call(hello).await {
        Ok(Answer::Hello { version: VERSION, recovered, .. }) => Ok(recovered),
        Ok(Answer::Hello { version, .. }) => Err(format!(
            "the agent speaks version {version} of the protocol, this squall version {VERSION}; \
             install the same release on both sides"
        )),
        Ok(_) => Err("the agent answered the greeting with something else".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// How long a call may take before the agent counts as lost. Whoever is to put something back must answer sooner than
/// whoever makes something.
fn time_limit(call: &Call, lease: Duration) -> Duration {
    let leases = |number: u32, least: u64| (lease * number).max(Duration::from_secs(least));
    match call {
        Call::Hello { .. } | Call::Host => CONNECTS_WITHIN,
        Call::Plan(_) => PLANS_WITHIN,
        Call::Inject { .. } => leases(4, 20),
        Call::Undo { .. } | Call::Recover | Call::Leftovers | Call::Bye => leases(2, 10),
        Call::Observe | Call::Renew => leases(1, 5),
    }
}

/// Tells the agent that we are here until the task is ended. An agent that is busy with a call hears us all the same,
/// and answers after; one that does not answer for longer than the lease, and is not busy, is lost.
async fn keep_renewing(
    link: Arc<dyn AgentLink>,
    lease: Duration,
    busy: Arc<AtomicUsize>,
    started: Instant,
    news: News,
) {
    let mut ticks = tokio::time::interval((lease / 4).min(RENEWS_EVERY).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answer = JoinSet::new();
    let mut silent_since = Instant::now();
    loop {
        tokio::select! {
            // One is enough: it waits for the agent with whatever else the agent has not read yet.
            _ = ticks.tick() => if answer.is_empty() {
                silent_since = Instant::now();
                answer.spawn(renew(link.call(Call::Renew), started.elapsed().as_secs_f64(), news.clone()));
            } else if busy.load(Ordering::Relaxed) > 0 {
                // A call has its own time limit.
                silent_since = Instant::now();
            } else if silent_since.elapsed() > lease {
                news.send(Input::Lost(format!("it was silent for longer than {:.0} s", lease.as_secs_f64())));
            },
            Some(_) = answer.join_next() => {}
        }
    }
}

async fn renew(answer: Pending<'static, Result<Answer, LinkError>>, sent: f64, news: News) {
    news.send(match answer.await {
        Ok(Answer::Renewed { live }) => Input::Renewed { sent, live: Ok(live) },
        Ok(_) => Input::Lost("it answered something else".to_owned()),
        Err(LinkError::Refused(error)) => Input::Renewed { sent, live: Err(error) },
        Err(LinkError::Lost(why)) => Input::Lost(why),
    });
}

#[cfg(test)]
mod tests {
    use super::super::Inbox;
    use super::*;
    use squall_model::units::Duration as Span;
    use tokio::sync::mpsc;

    /// An agent that is greeted and never heard of again, or that is started at leisure.
    struct Silent;

    impl AgentLink for Silent {
        fn call(&self, call: Call) -> Pending<'static, Result<Answer, LinkError>> {
            Box::pin(async move {
                match call {
                    Call::Hello { .. } => {
                        Ok(Answer::Hello { version: VERSION, pid: 1, warden: 2, recovered: Vec::new() })
                    }
                    _ => std::future::pending().await,
                }
            })
        }
    }

    impl Links for Silent {
        fn connect(&self) -> Pending<'static, Result<Arc<dyn AgentLink>, String>> {
            Box::pin(async { Ok(Arc::new(Self) as Arc<dyn AgentLink>) })
        }
    }

    fn agents(links: Arc<dyn Links>, sender: mpsc::UnboundedSender<Message>) -> Agents {
        let identity = Identity {
            run: "run".to_owned(),
            file: String::new(),
            options: Vec::new(),
            seed: 1,
            squall: String::new(),
            host: String::new(),
            environment: String::new(),
            origin: String::new(),
            by: String::new(),
            fingerprint: String::new(),
            lease: Span::seconds(5),
        };
        Agents::new(links, &identity, Vec::new(), Instant::now(), Inbox(sender))
    }

    #[tokio::test]
    async fn what_was_lost_with_one_agent_does_not_end_the_start_of_the_next() {
        let (sender, mut messages) = mpsc::unbounded_channel();
        let mut agents = agents(Arc::new(Silent), sender);
        agents.connect();
        let Some(Message::Linked(linked)) = messages.recv().await else { panic!("no agent was started") };
        assert!(agents.linked(linked).is_some());

        // Two calls were on their way when the agent was lost: each tells.
        let news = agents.news();
        assert!(agents.is_current(news.attempt));
        assert_eq!(agents.notice(&Input::Lost("gone".to_owned())), Some("gone".to_owned()));
        agents.connect();
        assert!(!agents.is_current(news.attempt), "the second would be taken for news of the next agent");
        let Some(Message::Linked(linked)) = messages.recv().await else {
            panic!("no other agent was started")
        };
        assert!(agents.linked(linked).is_some());
    }

    /// Counts the renewals of an agent that answers none.
    struct Counted(Arc<AtomicUsize>);

    impl AgentLink for Counted {
        fn call(&self, call: Call) -> Pending<'static, Result<Answer, LinkError>> {
            self.0.fetch_add(usize::from(call == Call::Renew), Ordering::Relaxed);
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_beyond_the_lease_is_a_loss_unless_the_agent_is_busy() {
        let (sender, mut messages) = mpsc::unbounded_channel();
        let mut agents = agents(Arc::new(Silent), sender);
        let renewals = Arc::new(AtomicUsize::new(0));
        let link = Arc::new(Counted(Arc::clone(&renewals)));
        let began = Instant::now();
        agents.linked(Linked { attempt: 0, link, recovered: Vec::new() }).unwrap();
        // A call that may take 20 s; it is told first, and the silence that is none of the call's after it.
        agents.call(1, Call::Inject { injections: Vec::new() });
        let Some(Message::OfAgent(0, Input::Answered(1, Err(LinkError::Lost(_)), _))) = messages.recv().await
        else {
            panic!("the call has no limit, or the agent was given up before")
        };
        assert_eq!(began.elapsed().as_secs(), 20);
        let Some(Message::OfAgent(0, Input::Lost(why))) = messages.recv().await else { panic!("no loss") };
        assert!(why.contains("silent"), "{why}");
        assert!((24..28).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert_eq!(renewals.load(Ordering::Relaxed), 1, "they pile up");
    }
}
