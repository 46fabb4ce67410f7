//! The client against real servers in this process.

use std::future;
use std::io::Write;
use std::time::Duration;

use http_body_util::BodyExt;

use super::*;
use crate::testing::{
    RawServer, Speech, TestServer, answer, mutual_tls, read_request, refusing_address, reset, tls,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn ask(request: &Request, timeout: Duration) -> Result<Response, HttpError> {
    ask_by(&HttpClient::default(), request, timeout)
}

fn ask_by(client: &HttpClient, request: &Request, timeout: Duration) -> Result<Response, HttpError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.request(request, timeout))
}

/// A server that says what it was asked: method, path, a header, the body.
fn echo(speech: Speech) -> TestServer {
    TestServer::speaking(speech, |request| async move {
        let marked = request.headers().get("x-mark").map_or("-", |mark| mark.to_str().unwrap()).to_owned();
        let host = request.headers().get("host").map_or("-", |host| host.to_str().unwrap()).to_owned();
        let (method, path) = (request.method().clone(), request.uri().path_and_query().unwrap().clone());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut response =
            answer(201, format!("{method} {path} {marked} {}", String::from_utf8_lossy(&body)));
        response.headers_mut().insert("x-host", host.parse().unwrap());
        response
    })
}

#[test]
fn request_and_answer_arrive_whole() {
    let server = echo(Speech::default());
    let request = Request::new("POST", &server.url("/pay?now=1")).unwrap();
    let request = request.header("X-Mark", "storm").unwrap().body("{}");
    let response = ask(&request, PATIENCE).unwrap();
    assert_eq!(response.status, 201);
    assert_eq!(response.version, http::Version::HTTP_11);
    assert_eq!(response.body, "POST /pay?now=1 storm {}");
    assert_eq!(response.headers["x-host"], server.address.to_string());
    assert!(!response.is_truncated());
    let timings = response.timings;
    assert!(timings.total >= timings.connect + timings.first_byte, "{timings:?}");
    assert_eq!(timings.tls, None);
}

#[test]
fn http2_by_prior_knowledge() {
    let server = echo(Speech { http2: true, tls: None });
    let request = Request::new("PUT", &server.url("/x")).unwrap().version(Version::Http2).body("two");
    let response = ask(&request, PATIENCE).unwrap();
    assert_eq!((response.status, response.version), (201, http::Version::HTTP_2));
    assert_eq!(response.body, "PUT /x - two");
}

#[test]
fn tls_chooses_the_version_and_trusts_only_known_authorities() {
    let (acceptor, authority) = tls(&[b"h2", b"http/1.1"]);
    let server = echo(Speech { http2: false, tls: Some(acceptor) });
    let url = format!("https://localhost:{}/x", server.address.port());
    let request = Request::get(&url).unwrap();

    let stranger = ask(&request, PATIENCE).unwrap_err();
    assert_eq!(stranger.kind, ErrorKind::Tls);
    assert!(stranger.to_string().contains("SSL_CERT_FILE"), "{stranger}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    let client = HttpClient::new(Authorities::File(file));
    let response = ask_by(&client, &request, PATIENCE).unwrap();
    assert_eq!((response.status, response.version), (201, http::Version::HTTP_2));
    assert!(response.timings.tls.is_some());
    let response = ask_by(&client, &request.clone().version(Version::Http1), PATIENCE).unwrap();
    assert_eq!(response.version, http::Version::HTTP_11);

    let by_address = Request::get(&format!("https://{}/", server.address)).unwrap();
    assert_eq!(ask_by(&client, &by_address, PATIENCE).unwrap().status, 201);
}

#[test]
fn a_server_without_http2_is_named() {
    let (acceptor, authority) = tls(&[b"http/1.1"]);
    let server = echo(Speech { http2: false, tls: Some(acceptor) });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    let client = HttpClient::new(Authorities::File(file));
    let request = Request::get(&format!("https://{}/", server.address)).unwrap().version(Version::Http2);
    assert_eq!(ask_by(&client, &request, PATIENCE).unwrap_err().kind, ErrorKind::Tls);
}

#[test]
fn authorities_that_cannot_be_read_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for file in [empty, folder.path().join("missing.pem")] {
        let request = Request::get("https://127.0.0.1:1/").unwrap();
        let client = HttpClient::new(Authorities::File(file.clone()));
        let error = ask_by(&client, &request, PATIENCE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Tls);
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
}

#[test]
fn refused() {
    let (_socket, address) = refusing_address();
    let error = ask(&Request::get(&format!("http://{address}/")).unwrap(), PATIENCE).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Connect);
    assert_eq!(error.to_string(), format!("connect to {address}: connection refused"));
}

#[test]
fn a_name_without_address() {
    let error = ask(&Request::get("http://nowhere.invalid/").unwrap(), PATIENCE).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Resolve);
    assert!(error.to_string().starts_with("resolve nowhere.invalid: "), "{error}");
}

#[test]
fn a_timeout_says_what_was_waited_for() {
    let server = TestServer::start(|_| future::pending());
    let request = Request::get(&server.url("/")).unwrap();
    let error = ask(&request, Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(
        error.to_string(),
        format!("GET {}: wait for the answer: not done within 100ms", server.url("/"))
    );
}

#[test]
fn cut_off_in_the_body() {
    for orderly in [true, false] {
        let server = RawServer::start(move |mut stream| {
            read_request(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
            if !orderly {
                // The client is to have read the head before the reset takes it away.
                std::thread::sleep(Duration::from_millis(50));
                reset(stream);
            }
        });
        let error = ask(&Request::get(&server.url()).unwrap(), PATIENCE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Reset, "{error}");
        assert!(error.to_string().contains("after 4 bytes"), "{error}");
    }
}

#[test]
fn closed_before_the_answer() {
    let server = RawServer::start(|mut stream| {
        read_request(&mut stream);
    });
    let error = ask(&Request::get(&server.url()).unwrap(), PATIENCE).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Reset, "{error}");
}

#[test]
fn not_http() {
    let server = RawServer::start(|mut stream| {
        read_request(&mut stream);
        stream.write_all(b"220 mail.test ESMTP\r\n").unwrap();
    });
    let error = ask(&Request::get(&server.url()).unwrap(), PATIENCE).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
}

#[test]
fn a_long_body_is_counted_but_not_kept() {
    let length = BODY_KEPT + 12345;
    let server = TestServer::start(move |_| future::ready(answer(200, vec![b'x'; length])));
    let response = ask(&Request::get(&server.url("/")).unwrap(), PATIENCE).unwrap();
    assert_eq!((response.body.len(), response.body_length), (BODY_KEPT, length as u64));
    assert!(response.is_truncated());
}

#[test]
fn requests_are_checked_before_anything_is_sent() {
    assert_eq!(Request::new("G T", "http://a/").unwrap_err().kind, ErrorKind::Request);
    let request = Request::get("http://a/").unwrap();
    for (name, value) in [("bad name", "x"), ("x", "line\r\nbreak"), ("Content-Length", "5")] {
        assert_eq!(request.clone().header(name, value).unwrap_err().kind, ErrorKind::Request, "{name}");
    }
}

#[test]
fn http1_bytes_are_the_request() {
    let request = Request::new("POST", "http://shop.test/pay").unwrap().header("User-Agent", "x").unwrap();
    let bytes = String::from_utf8(request.clone().body("{}").http1_bytes()).unwrap();
    assert_eq!(
        bytes,
        "POST /pay HTTP/1.1\r\nhost: shop.test\r\nuser-agent: x\r\naccept: */*\r\ncontent-length: 2\r\n\r\n{}"
    );
    let other_host = request.header("Host", "other.test").unwrap();
    let bytes = String::from_utf8(other_host.http1_bytes()).unwrap();
    assert_eq!(bytes.matches("host: ").count(), 1);
    assert!(bytes.contains("host: other.test\r\n") && bytes.contains("content-length: 0\r\n"), "{bytes}");
    assert_eq!(other_host.http2_request().unwrap().uri().authority().unwrap(), "other.test");
}

#[test]
fn a_kept_connection_is_used_again_and_replaced_when_closed() {
    let server = echo(Speech::default());
    let client = KeptClient::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asking = |request: &Request| runtime.block_on(client.request(request, PATIENCE)).unwrap().status;
    let request = Request::get(&server.url("/a")).unwrap();
    assert_eq!([asking(&request), asking(&request), asking(&request)], [201; 3]);
    assert_eq!((server.connections(), server.requests()), (1, 3));
    assert_eq!(asking(&Request::new("POST", &server.url("/a")).unwrap()), 201);
    assert_eq!(server.connections(), 2, "what may not be sent twice goes alone");

    // A server that answers once on each connection and says nothing of closing it.
    let closing = RawServer::start(|mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let request = Request::get(&closing.url()).unwrap();
    let client = KeptClient::default();
    for _ in 0..20 {
        assert_eq!(runtime.block_on(client.request(&request, PATIENCE)).unwrap().status, 200);
    }
}

#[test]
fn a_client_shows_who_it_is() {
    let (acceptor, pem, identity) = mutual_tls();
    let server =
        TestServer::speaking(Speech { http2: false, tls: Some(acceptor) }, |_| async { answer(200, "in") });
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let authorities = Authorities::File(write("authority.pem", &pem));
    let known = Identity { certificate: write("me.pem", &identity.0), key: write("key.pem", &identity.1) };
    let url = server.url("/").replace("http:", "https:");
    let asking = |identity: Option<Identity>| {
        let client = HttpClient::new(Trust { authorities: authorities.clone(), identity });
        ask_by(&client, &Request::get(&url).unwrap(), PATIENCE)
    };
    assert_eq!(asking(Some(known.clone())).unwrap().body, "in");
    assert!(asking(None).is_err());
    let error = asking(Some(Identity { key: folder.path().join("none"), ..known })).unwrap_err().to_string();
    assert!(error.contains("read the client's key from"), "{error}");
}
