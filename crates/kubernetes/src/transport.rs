//! The way to a cluster: `kube`'s credentials and TLS over connections that notice when they are dead.

use http::{HeaderValue, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config, Error};
use std::time::Duration;
use tower::util::option_layer;
use tower::{BoxError, Layer, Service, ServiceExt};

/// How long connecting may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// After so long without a word the kernel asks whether the other side is there, and then that often.
const ASKS_AFTER: Duration = Duration::from_secs(10);
const ASKS_EVERY: Duration = Duration::from_secs(5);
const ASKS_TIMES: u32 = 3;
/// Connections that are not used are closed, before those in between forget them.
const IDLES_FOR: Duration = Duration::from_mins(1);

/// A client by these settings. May run a plugin for credentials, and then takes as long as that does.
pub(crate) fn client(config: &Config) -> Result<Client, Error> {
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    direct.set_nodelay(true);
    direct.set_connect_timeout(Some(CONNECTS_WITHIN));
    direct.set_keepalive(Some(ASKS_AFTER));
    direct.set_keepalive_interval(Some(ASKS_EVERY));
    direct.set_keepalive_retries(Some(ASKS_TIMES));
    let Some(proxy) = config.proxy_url.clone() else { return over(config, direct) };
    match proxy.scheme_str() {
        Some("socks5" | "socks5h") => over(config, SocksV5::new(proxy, direct)),
        Some("http") => {
            let tunnel = Tunnel::new(proxy.clone(), direct);
            match login(&proxy) {
                Some(login) => over(config, tunnel.with_auth(login)),
                None => over(config, tunnel),
            }
        }
        _ => Err(Error::ProxyProtocolUnsupported { proxy_url: Box::new(without_login(&proxy)) }),
    }
}

fn over<C>(config: &Config, connector: C) -> Result<Client, Error>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let mut builder = Connections::builder(TokioExecutor::new());
    builder.pool_idle_timeout(IDLES_FOR).pool_timer(TokioTimer::new());
    let connections: Connections<_, Body> = builder.build(connector);
    let connections = connections.map_err(BoxError::from);
    let service = config.extra_headers_layer()?.layer(connections);
    let service = option_layer(config.auth_layer()?).layer(service);
    let service = config.base_uri_layer().layer(service);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// The name and password that a proxy's address may hold, as a header.
fn login(proxy: &Uri) -> Option<HeaderValue> {
    let everywhere = Uri::from_static("https://cluster.invalid");
    Matcher::builder().https(proxy.to_string()).build().intercept(&everywhere)?.basic_auth().cloned()
}

fn without_login(proxy: &Uri) -> Uri {
    let host = proxy.host().unwrap_or_default();
    let scheme = proxy.scheme_str().unwrap_or("https");
    format!("{scheme}://{host}").parse().unwrap_or_default()
}
