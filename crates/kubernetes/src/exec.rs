//! Programs in containers of pods, over the API server's stream.
//!
//! The stream is a WebSocket whose messages begin with the number of a channel. `v5.channel.k8s.io` (servers since 1.30) can say
//! that a channel has ended, `v4.channel.k8s.io` cannot.
//!
//! What reaches the program when the stream ends was tried out (API server 1.20.2, containerd 1.6.20, protocol v4):
//!
//! | what ends it | the program |
//! |---|---|
//! | the client is killed (`kill -9`), or closes the connection | reads the end of its input within 10 ms |
//! | input is shut down over v4, which closes the connection | the same, and its output and its exit status are lost |
//! | the client stands still (`SIGSTOP`) | reads nothing, and nothing ends: the client's kernel answers for it |
//! | the network is lost without a word | reads nothing for longer than 280 s; the client gives up after 30 s |
//!
//! In no case does it get a signal. It lives on, what it starts lives on, and what it writes is taken and goes nowhere. So a
//! program that must not outlive us reads its input until it ends, and wants to hear from us now and then: no time limit of the
//! servers between is short enough to rely on.
//!
//! Source: <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go>

use crate::cluster::{Cluster, Failure, USER_AGENT, failure};
use crate::error::{ClusterError, Problem, causes, shortened};
use crate::kind::Kind;
use crate::runtime::{self, Held};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{Request, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::client::Connection;
use serde::Deserialize;
use squall_http::encoded;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// So many bytes wait for those who read.
const ROOM: usize = 64 << 10;
/// How often the other side is asked whether it is there, and how long it may say nothing.
const ASKS_EVERY: Duration = Duration::from_secs(10);
const SILENT_FOR: Duration = Duration::from_secs(30);
/// So much is kept of what a program writes that is only run for its output.
const LONGEST_OUTPUT: u64 = 1 << 20;

/// The numbers of the channels.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const END: u8 = 255;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A program that runs in a container. When all four parts are dropped, the connection is closed.
///
/// `stdout` and `stderr` come over one connection: who reads one of them must read the other one too.
pub struct Exec {
    /// What it reads.
    pub stdin: Input,
    /// What it writes.
    pub stdout: Output,
    /// What it complains of.
    pub stderr: Output,
    /// How it ends.
    pub exit: Exit,
}

/// What a program reads.
///
/// To shut it down is to say that this was all. Over v4 only the end of the connection says so, and what the program writes
/// then is lost: a program whose answer matters must know by itself where its input ends.
pub struct Input {
    pipe: DuplexStream,
    is_shut: Arc<AtomicBool>,
    _held: Arc<Held<()>>,
}

/// What a program writes.
pub struct Output {
    pipe: DuplexStream,
    _held: Arc<Held<()>>,
}

/// How a program ends.
pub struct Exit {
    end: oneshot::Receiver<Result<i32, ClusterError>>,
    lost: ClusterError,
    _held: Arc<Held<()>>,
}

/// What a program wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit status.
    pub code: i32,
    /// What it wrote; not more than a megabyte.
    pub stdout: Vec<u8>,
    /// What it complained of; not more than a megabyte.
    pub stderr: Vec<u8>,
}

impl Exit {
    /// The exit status. A program that a signal ended has 128 and the signal's number.
    ///
    /// # Errors
    /// `Invalid` where it could not be started; `Unknown` where the connection was lost before it ended.
    pub async fn code(self) -> Result<i32, ClusterError> {
        self.end.await.unwrap_or(Err(self.lost))
    }
}

impl AsyncWrite for Input {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut.store(true, Ordering::Release);
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(context, buffer)
    }
}

impl Cluster {
    /// Starts a program in a container of a pod; none means its only one.
    ///
    /// # Errors
    /// `NotFound` where there is no such pod; `Invalid` where it has no such container, or does not run.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        command: &[&str],
    ) -> Result<Exec, ClusterError> {
        self.start(namespace, pod, container, command, true).await
    }

    /// Runs a program that reads nothing in a container of a pod to its end; none means its only one.
    ///
    /// # Errors
    /// Those of [`Cluster::exec`]; `Unknown` where it does not end in time.
    pub async fn run(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        command: &[&str],
    ) -> Result<Ran, ClusterError> {
        let Exec { stdin: _stdin, stdout, stderr, exit } =
            self.start(namespace, pod, container, command, false).await?;
        let ending = async {
            let (stdout, stderr) = tokio::join!(collected(stdout), collected(stderr));
            exit.code().await.map(|code| Ran { code, stdout, stderr })
        };
        let patience = self.patience();
        timeout(patience, ending).await.unwrap_or_else(|_| {
            let why = format!("it did not end within {patience:?}");
            Err(self.error(Problem::Unknown, &tried(namespace, pod, command), &why))
        })
    }

    async fn start(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        command: &[&str],
        reads: bool,
    ) -> Result<Exec, ClusterError> {
        let tried = tried(namespace, pod, command);
        let mut path = Kind::POD.named(Some(namespace), pod).path();
        path.push_str("/exec?stdout=true&stderr=true");
        if reads {
            path.push_str("&stdin=true");
        }
        let container = container.map(|name| ("container", name)).into_iter();
        for (name, value) in container.chain(command.iter().map(|word| ("command", *word))) {
            path = format!("{path}&{name}={}", encoded(value));
        }
        let connection = self.connect(&tried, path).await?;
        let can_end = connection.supports_stream_close();
        let (sink, stream) = connection.into_stream().split();
        let [(stdin, read), (stdout, written), (stderr, complained)] = [(); 3].map(|()| duplex(ROOM));
        let (told, end) = oneshot::channel();
        let is_shut = Arc::new(AtomicBool::new(false));
        let lost = |why: &str| self.error(Problem::Unknown, &tried, why);
        let feeding = Feeding { stdin: read, is_shut: Arc::clone(&is_shut), can_end, reads };
        let words = Words { cluster: self.clone(), tried: tried.clone() };
        let held = Arc::new(runtime::begin(async move {
            let reading = read_all(stream, written, complained, &words);
            // Whatever ends first ends the other: nothing comes after the status, and nothing without a connection.
            let end = tokio::select! {
                end = reading => end,
                why = feeding.feed(sink) => Err(words.lost(&why)),
            };
            // That nobody wants to know is no matter.
            let _ = told.send(end);
        })?);
        let part = || Arc::clone(&held);
        Ok(Exec {
            stdin: Input { pipe: stdin, is_shut, _held: part() },
            stdout: Output { pipe: stdout, _held: part() },
            stderr: Output { pipe: stderr, _held: part() },
            exit: Exit { end, lost: lost("whoever waited for it is gone"), _held: part() },
        })
    }

    /// Opens a stream both ways.
    async fn connect(&self, tried: &str, path: String) -> Result<Connection, ClusterError> {
        let (inner, patience) = (Arc::clone(&self.inner), self.patience());
        let connecting = async move {
            let request = Request::get(path).header(header::USER_AGENT, USER_AGENT).body(Vec::new());
            let request = request.map_err(|error| Failure::Nothing(error.to_string()))?;
            match timeout(patience, inner.client().connect(request)).await {
                Ok(connected) => connected.map_err(|error| failure(&error, inner.config())),
                Err(_) => Err(Failure::Late),
            }
        };
        let connected = runtime::begin(connecting)?.end().await?;
        connected.map_err(|failure| self.told(tried, failure))
    }
}

/// What is said of a program: never with its arguments, which may hold secrets.
fn tried(namespace: &str, pod: &str, command: &[&str]) -> String {
    format!("run {} in Pod {namespace}/{pod}", command.first().unwrap_or(&"nothing"))
}

async fn collected(output: Output) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut limited = output.take(LONGEST_OUTPUT);
    // A connection that is lost is told by the exit.
    let _ = limited.read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(limited.get_mut(), &mut tokio::io::sink()).await;
    bytes
}

/// How its errors begin.
struct Words {
    cluster: Cluster,
    tried: String,
}

impl Words {
    fn lost(&self, why: &str) -> ClusterError {
        let why = format!("the connection was lost before it ended: {why}");
        self.cluster.error(Problem::Unknown, &self.tried, &why)
    }
}

/// What goes to the program.
struct Feeding {
    stdin: DuplexStream,
    is_shut: Arc<AtomicBool>,
    can_end: bool,
    reads: bool,
}

impl Feeding {
    /// Sends what is to be read, and now and then asks whether the other side is there; says why that went wrong.
    async fn feed(mut self, mut sink: SplitSink<Socket, Message>) -> String {
        let mut asks = interval(ASKS_EVERY);
        asks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut buffer = vec![0; ROOM];
        loop {
            let message = tokio::select! {
                _ = asks.tick() => Some(Message::Ping(Bytes::new())),
                count = self.stdin.read(&mut buffer), if self.reads => match count {
                    Ok(count) if count > 0 => Some(channel(STDIN, &buffer[..count])),
                    _ => {
                        self.reads = false;
                        self.end()
                    }
                },
            };
            let Some(message) = message else { continue };
            if let Err(error) = sink.send(message).await {
                return causes(&error);
            }
        }
    }

    /// What says that nothing follows. Where the protocol has no word for it, only the end of the connection says it.
    fn end(&self) -> Option<Message> {
        let is_shut = self.is_shut.load(Ordering::Acquire);
        let end = if self.can_end { Message::binary(vec![END, STDIN]) } else { Message::Close(None) };
        is_shut.then_some(end)
    }
}

fn channel(number: u8, bytes: &[u8]) -> Message {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    message.push(number);
    message.extend_from_slice(bytes);
    Message::binary(message)
}

/// Hands on what comes from the program until it has ended.
async fn read_all(
    mut stream: SplitStream<Socket>,
    mut stdout: DuplexStream,
    mut stderr: DuplexStream,
    words: &Words,
) -> Result<i32, ClusterError> {
    loop {
        let message = match timeout(SILENT_FOR, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return Err(words.lost(&causes(&error))),
            Ok(None) => return Err(words.lost("the other side closed it")),
            Err(_) => return Err(words.lost(&format!("nothing was heard for {SILENT_FOR:?}"))),
        };
        let Message::Binary(bytes) = message else { continue };
        let Some((number, bytes)) = bytes.split_first() else { continue };
        // Output that nobody wants is no reason to end.
        match *number {
            STDOUT => drop(stdout.write_all(bytes).await),
            STDERR => drop(stderr.write_all(bytes).await),
            // Each channel begins with an empty message.
            STATUS if !bytes.is_empty() => return status(bytes, words),
            _ => {}
        }
    }
}

/// How a program ended, as the cluster says it.
fn status(bytes: &[u8], words: &Words) -> Result<i32, ClusterError> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Ending {
        status: String,
        reason: String,
        message: String,
        details: Details,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Details {
        causes: Vec<Cause>,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Cause {
        reason: String,
        message: String,
    }
    let Words { cluster, tried } = words;
    let ending: Ending = serde_json::from_slice(bytes).map_err(|error| cluster.unreadable(tried, &error))?;
    if ending.status == "Success" {
        return Ok(0);
    }
    let mut causes = ending.details.causes.iter();
    let code = causes.find(|cause| cause.reason == "ExitCode").and_then(|cause| cause.message.parse().ok());
    code.ok_or_else(|| {
        let why = format!("{}: {}", ending.reason, shortened(&ending.message));
        cluster.error(Problem::Invalid, tried, &why)
    })
}
