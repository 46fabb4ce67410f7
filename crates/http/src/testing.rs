//! Servers for the tests: a well-behaved one (hyper), and one that does to each connection what a test wants.
#![expect(
    clippy::unwrap_used,
    missing_docs,
    clippy::missing_panics_doc,
    reason = "for tests: one whose server does not start has failed"
)]

use std::convert::Infallible;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener as StdListener, TcpStream as StdStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

type Answer = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// A server on a free port of loopback, on a thread of its own. It ends when dropped.
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddr,
    counters: Arc<Counters>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    connections: AtomicU64,
}

/// How a server speaks.
#[derive(Clone, Default)]
pub struct Speech {
    /// HTTP/2 in place of HTTP/1.1.
    pub http2: bool,
    /// Behind TLS.
    pub tls: Option<TlsAcceptor>,
}

impl TestServer {
    /// Serves HTTP/1.1; `handle` answers each request.
    pub fn start<F, A>(handle: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        Self::speaking(Speech::default(), handle)
    }

    /// Serves as `speech` says.
    pub fn speaking<F, A>(speech: Speech, handle: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (counters, stop) = (Arc::<Counters>::default(), Arc::new(Notify::new()));
        let handler: Handler = Arc::new(move |request| Box::pin(handle(request)));
        let (counting, stopped) = (counters.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.notified() => {}
                    () = accept(TcpListener::from_std(listener).unwrap(), speech, handler, counting) => {}
                }
            });
        });
        Self { address, counters, stop, thread: Some(thread) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> u64 {
        self.counters.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, speech: Speech, handler: Handler, counters: Arc<Counters>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        counters.connections.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true).unwrap();
        let (handler, counters, speech) = (handler.clone(), counters.clone(), speech.clone());
        tokio::spawn(async move {
            match speech.tls {
                None => serve(stream, speech.http2, handler, counters).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        serve(stream, http2, handler, counters).await;
                    }
                }
            }
        });
    }
}

async fn serve<S>(stream: S, http2: bool, handler: Handler, counters: Arc<Counters>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        counters.requests.fetch_add(1, Ordering::SeqCst);
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // Clients of the tests go away as they please.
    if http2 {
        let _ =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// An answer with a status and a body.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

/// A server that hands each connection to `serve`, on a thread per connection. It ends when dropped.
pub struct RawServer {
    pub address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RawServer {
    pub fn start(serve: impl Fn(StdStream) + Send + Sync + 'static) -> Self {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (ending, serve) = (ended.clone(), Arc::new(serve));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    break;
                }
                let serve = serve.clone();
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    stream.set_nodelay(true).unwrap();
                    serve(stream);
                });
            }
        });
        Self { address, ended, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread from its wait for a connection.
        let _ = StdStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A server on a socket of this host that answers the same to all. It ends with its test's process.
pub struct SocketServer;

impl SocketServer {
    pub fn start(socket: &Path, status: &'static str, body: &'static str) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                read_request(&mut stream);
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self
    }
}

/// Reads one request without a body. Returns false at the connection's end.
pub fn read_request(stream: &mut impl Read) -> bool {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// An address of loopback that refuses connections, and that nobody else can take while the socket is held.
pub fn refusing_address() -> (OwnedFd, SocketAddr) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = getsockname(&socket).unwrap().try_into().unwrap();
    (socket, address)
}

/// Closes the connection with a reset in place of an orderly end.
pub fn reset(stream: StdStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
}

/// An authority of the test's own.
pub fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap()
}

/// What a server for `localhost` and 127.0.0.1 certifies itself by.
pub fn local_certificate() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

/// TLS for `localhost` and 127.0.0.1, offering `protocols`; and its authority as PEM.
pub fn tls(protocols: &[&[u8]]) -> (TlsAcceptor, String) {
    let authority = authority();
    (tls_by(&authority, local_certificate(), protocols), authority.pem())
}

/// TLS with a certificate that `authority` signs.
pub fn tls_by(
    authority: &CertifiedIssuer<'_, KeyPair>,
    certificate: CertificateParams,
    protocols: &[&[u8]],
) -> TlsAcceptor {
    let mut config = signed(server_config().with_no_client_auth(), authority, certificate);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// For servers that speak TLS themselves: PEM of an authority, and of a certificate for `localhost` and 127.0.0.1 with its key.
pub fn certified() -> (String, String, String) {
    let (authority, key) = (authority(), KeyPair::generate().unwrap());
    let certificate = local_certificate().signed_by(&key, &authority).unwrap();
    (authority.pem(), certificate.pem(), key.serialize_pem())
}

/// TLS that asks its clients for a certificate; its authority as PEM; and a certificate and key that it lets in.
pub fn mutual_tls() -> (TlsAcceptor, String, (String, String)) {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(Vec::new()).unwrap().signed_by(&key, &authority).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let config = signed(server_config().with_client_cert_verifier(verifier), &authority, local_certificate());
    (TlsAcceptor::from(Arc::new(config)), authority.pem(), (client.pem(), key.serialize_pem()))
}

fn server_config() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

fn signed(
    config: ConfigBuilder<ServerConfig, WantsServerCert>,
    authority: &CertifiedIssuer<'_, KeyPair>,
    certificate: CertificateParams,
) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate = certificate.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    config.with_single_cert(vec![certificate.der().clone()], key).unwrap()
}
