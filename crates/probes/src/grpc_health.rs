//! gRPC's health protocol: whether a service says that it serves.
//!
//! Sources: <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>, and `PROTOCOL-HTTP2.md` beside it. The two
//! messages have one field each, so they are written and read by hand.

use crate::question::{Auth, Question};
use crate::timeout::Timeout;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_http::{Headers, HttpError, Request, Response, Url, Verb, Version};
use squall_model::probe::{Observe, Pending, Probe, ProbeError};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::path::PathBuf;

const PATH: &str = "/grpc.health.v1.Health/Check";

/// The longest name of a service: one byte tells its length.
const LONGEST_NAME: usize = 127;

const OK: u32 = 0;
const NOT_FOUND: u32 = 5;

/// What stands under `grpc_health:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Where the server is: `http://127.0.0.1:50051` without TLS, `https://shop:443` with it.
    url: Url,
    /// The service that is asked about: `shop.v1.Orders`. Where not given, the server as a whole.
    #[serde(default)]
    service: String,
    /// How long the answer may take.
    #[serde(default)]
    timeout: Timeout,
    /// Metadata to send.
    #[serde(default)]
    headers: Headers,
    /// Who asks: `{bearer: {env: TOKEN}}`, `{certificate: client.pem, key: client.key}`.
    #[serde(default)]
    auth: Option<Auth>,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
}

/// The `grpc_health` probe.
pub struct GrpcHealth(Question);

impl Probe for GrpcHealth {
    const NAME: &'static str = "grpc_health";
    const SUMMARY: &'static str = "Asks a gRPC server for its health";
    const EXAMPLE: &'static str = "\
- grpc_health: {url: \"http://127.0.0.1:50051\", service: shop.v1.Orders}
  expect: status == SERVING and latency < 100ms
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        (
            "status",
            "SERVING, NOT_SERVING, UNKNOWN, or SERVICE_UNKNOWN where the server knows no such service",
        ),
        ("latency", "seconds from the first step to the end of the answer, the connection included"),
    ];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("status == SERVING");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { url, service, timeout, mut headers, auth, authorities } = parameters;
        if service.len() > LONGEST_NAME {
            return Err(ProbeError(format!("`service` is longer than {LONGEST_NAME} bytes")));
        }
        let wrong = |error: HttpError| ProbeError(error.to_string());
        let scheme = if url.is_tls() { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{}{PATH}", url.authority())).map_err(wrong)?;
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            headers.set(name, value).map_err(wrong)?;
        }
        let post = Verb::parse("POST").map_err(wrong)?;
        let request = Request::of(url, post).headers(headers).version(Version::Http2).body(check(&service));
        Ok(Self(Question::new(request, auth, authorities, timeout)?))
    }
}

/// `HealthCheckRequest { service }` in a frame: not compressed, its length, the message.
fn check(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.extend([0x0A, service.len() as u8]);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

impl Observe for GrpcHealth {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(self.0.ask(|response| {
            let url = self.0.request().url();
            let status = status(response).map_err(|why| {
                format!("ask the gRPC server at {} for its health: {why}", url.host_and_port())
            })?;
            Ok(Reading::from([
                ("status".to_owned(), Value::from(status)),
                ("latency".to_owned(), Value::Number(response.timings.total.as_secs_f64())),
            ]))
        }))
    }

    fn patience(&self) -> Duration {
        self.0.timeout().patience()
    }
}

fn status(response: &Response) -> Result<&'static str, String> {
    if response.status != 200 {
        return Err(format!("it answered with HTTP status {}; does gRPC listen there?", response.status));
    }
    // An answer without a message has everything in its head.
    let told = |name: &str| {
        let value = response.trailers.get(name).or_else(|| response.headers.get(name))?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let code = told("grpc-status").ok_or("the answer has no `grpc-status`; does gRPC listen there?")?;
    match code.parse() {
        Ok(OK) => {
            serving(&response.body).ok_or_else(|| "the answer is not one of the health protocol".to_owned())
        }
        Ok(NOT_FOUND) => Ok("SERVICE_UNKNOWN"),
        _ => {
            let message = told("grpc-message").filter(|message| !message.is_empty());
            let message = message.map(|message| format!(", {message:?}")).unwrap_or_default();
            Err(format!("it answered with gRPC status {code}{message}"))
        }
    }
}

/// `HealthCheckResponse { status }`; a field that is left away is 0.
fn serving(frame: &[u8]) -> Option<&'static str> {
    let (head, message) = frame.split_at_checked(5)?;
    if head[0] != 0 || u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize != message.len() {
        return None;
    }
    match message {
        [] | [0x08, 0] => Some("UNKNOWN"),
        [0x08, 1] => Some("SERVING"),
        [0x08, 2] => Some("NOT_SERVING"),
        [0x08, 3] => Some("SERVICE_UNKNOWN"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built};
    use http_body_util::{BodyExt, Full};
    use hyper::header::HeaderMap;
    use serde_json::json;
    use squall_http::testing::{Speech, TestServer, answer, tls};

    /// A server that tells everything in the head of its answer, as one without a message may.
    fn server(tls: Option<tokio_rustls::TlsAcceptor>) -> TestServer {
        TestServer::speaking(Speech { http2: true, tls }, |request| async move {
            assert_eq!(request.headers()["content-type"], "application/grpc");
            assert_eq!(request.uri().path(), PATH);
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            let (status, body): (&str, &[u8]) = match &asked[..] {
                b"\0\0\0\0\0" => ("0", b"\0\0\0\0\x02\x08\x01"),
                b"\0\0\0\0\x06\x0A\x04down" => ("0", b"\0\0\0\0\x02\x08\x02"),
                b"\0\0\0\0\x06\x0A\x04none" => ("5", b""),
                b"\0\0\0\0\x06\x0A\x04what" => ("0", b"\0\0\0\0\x02\x10\x02"),
                _ => ("14", b""),
            };
            let mut response: hyper::Response<Full<_>> = answer(200, body);
            let told = HeaderMap::from_iter([
                ("grpc-status".parse().unwrap(), status.parse().unwrap()),
                ("grpc-message".parse().unwrap(), "no database".parse().unwrap()),
            ]);
            response.headers_mut().extend(told);
            response
        })
    }

    #[test]
    fn what_a_server_says_of_its_health() {
        let plain = server(None);
        let read = |service: &str| {
            let reading = ask(&built::<GrpcHealth>(json!({"url": plain.url(""), "service": service})));
            reading.map(|reading| reading["status"].clone()).map_err(|error| error.to_string())
        };
        assert_eq!(read(""), Ok(Value::from("SERVING")));
        assert_eq!(read("down"), Ok(Value::from("NOT_SERVING")));
        assert_eq!(read("none"), Ok(Value::from("SERVICE_UNKNOWN")));
        assert!(read("what").unwrap_err().contains("not one of the health protocol"));
        let error = read("other").unwrap_err();
        assert!(error.contains("gRPC status 14, \"no database\""), "{error}");

        let (acceptor, pem) = tls(&[b"h2"]);
        let secret = server(Some(acceptor));
        let folder = tempfile::tempdir().unwrap();
        let authorities = folder.path().join("authority.pem");
        std::fs::write(&authorities, pem).unwrap();
        let url = secret.url("").replace("http:", "https:");
        let reading = ask(&built::<GrpcHealth>(json!({"url": url, "authorities": authorities}))).unwrap();
        assert_eq!(reading["status"], Value::from("SERVING"));
    }

    #[test]
    fn what_is_no_grpc_is_unknown() {
        let web = TestServer::speaking(Speech { http2: true, tls: None }, |_| async { answer(404, "") });
        let odd = TestServer::speaking(Speech { http2: true, tls: None }, |_| async { answer(200, "hello") });
        let old = TestServer::start(|_| async { answer(200, "") });
        for (server, words) in [(&web, "HTTP status 404"), (&odd, "no `grpc-status`"), (&old, "127.0.0.1")] {
            let error = ask(&built::<GrpcHealth>(json!({"url": server.url("")}))).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
