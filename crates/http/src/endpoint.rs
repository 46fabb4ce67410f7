//! The way to a server: resolve its name, connect, agree on TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{self, TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ErrorKind, HttpError, Trust, Url};

/// How long resolved addresses are used again. Short, so that a failover or a DNS fault is noticed.
const RESOLVED_FOR: Duration = Duration::from_secs(1);

/// Which HTTP a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// What the server chooses over TLS (HTTP/2 preferred, by ALPN); HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only; without TLS by prior knowledge (RFC 9113, section 3.3).
    Http2,
}

impl Version {
    fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Auto => &[b"h2", b"http/1.1"],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
        }
    }
}

/// How long each stage of opening a connection took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenTimings {
    /// Turning the name into addresses; zero for an address.
    pub resolve: Duration,
    /// Until TCP was connected.
    pub connect: Duration,
    /// The TLS handshake, with `https`.
    pub tls: Option<Duration>,
}

/// One server, ready to be connected to again and again.
pub struct Endpoint {
    host: String,
    port: u16,
    name: String,
    version: Version,
    tls: Option<(ServerName<'static>, TlsConnector)>,
    resolved: Mutex<Option<(Instant, Arc<[SocketAddr]>)>>,
}

impl Endpoint {
    /// The way to the server of a URL. Nothing is touched yet.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] where certificate authorities, or the client's own certificate, cannot be read.
    pub fn new(url: &Url, version: Version, trust: &Trust) -> Result<Self, HttpError> {
        let tls = if url.is_tls() {
            let name = ServerName::try_from(url.host().to_owned()).map_err(|error| {
                HttpError::request(format!("use {} with TLS", url.host()), error.to_string())
            })?;
            Some((name, trust.connector(version.protocols())?))
        } else {
            None
        };
        let (host, port, name) = (url.host().to_owned(), url.port(), url.host_and_port());
        Ok(Self { host, port, name, version, tls, resolved: Mutex::new(None) })
    }

    /// Host and port, for error messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a connection. Waits without bound; the caller sets the time allowed.
    pub async fn open(&self) -> Result<(Stream, OpenTimings), HttpError> {
        let mut timings = OpenTimings::default();
        let begun = Instant::now();
        let addresses = self.addresses().await?;
        timings.resolve = begun.elapsed();

        let begun = Instant::now();
        let tcp = TcpStream::connect(&addresses[..])
            .await
            .map_err(|error| HttpError::connecting(self.tried_to_connect(&addresses), &error))?;
        tcp.set_nodelay(true)
            .map_err(|error| HttpError::connecting(self.tried_to_connect(&addresses), &error))?;
        timings.connect = begun.elapsed();

        let Some((server_name, connector)) = &self.tls else {
            return Ok((Stream::Plain(tcp), timings));
        };
        let begun = Instant::now();
        let stream =
            connector.connect(server_name.clone(), tcp).await.map_err(|error| self.tls_error(&error))?;
        timings.tls = Some(begun.elapsed());
        let stream = Stream::Tls(Box::new(stream));
        if self.version == Version::Http2 && !stream.chose_http2() {
            let tried = format!("speak HTTP/2 with {}", self.name);
            return Err(HttpError::new(
                ErrorKind::Tls,
                tried,
                "the server did not choose `h2` (ALPN); use HTTP/1.1",
            ));
        }
        Ok((stream, timings))
    }

    /// Whether requests on `stream` are to be sent as HTTP/2.
    pub fn speaks_http2(&self, stream: &Stream) -> bool {
        self.version == Version::Http2 || stream.chose_http2()
    }

    async fn addresses(&self) -> Result<Arc<[SocketAddr]>, HttpError> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(Arc::new([SocketAddr::new(address, self.port)]));
        }
        // Held while resolving, so that a thousand connections ask once.
        let mut resolved = self.resolved.lock().await;
        if let Some((at, addresses)) = resolved.as_ref()
            && at.elapsed() < RESOLVED_FOR
        {
            return Ok(addresses.clone());
        }
        let failed =
            |cause: String| HttpError::new(ErrorKind::Resolve, format!("resolve {}", self.host), cause);
        let found = net::lookup_host((self.host.as_str(), self.port));
        let addresses: Arc<[SocketAddr]> = found.await.map_err(|error| failed(error.to_string()))?.collect();
        if addresses.is_empty() {
            return Err(failed("the name has no address".to_owned()));
        }
        *resolved = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    fn tried_to_connect(&self, addresses: &[SocketAddr]) -> String {
        if self.host.parse::<IpAddr>().is_ok() {
            return format!("connect to {}", self.name);
        }
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!("connect to {} ({})", self.name, addresses.join(", "))
    }

    fn tls_error(&self, error: &io::Error) -> HttpError {
        let text = error.to_string();
        let advice = if text.contains("UnknownIssuer") {
            "; if the authority is your own, name its PEM file in `authorities:` or SSL_CERT_FILE"
        } else {
            ""
        };
        HttpError::new(ErrorKind::Tls, format!("TLS handshake with {}", self.name), format!("{text}{advice}"))
    }
}

/// A connection, with or without TLS.
pub enum Stream {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// A socket of this host.
    Unix(UnixStream),
}

impl Stream {
    fn chose_http2(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Unix(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
