//! Against servers that answer as clusters seldom do, and settings of many kinds.

use super::*;
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use squall_http::testing::{RawServer, Speech, TestServer, answer, mutual_tls, read_request};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

const PATIENCE: Duration = Duration::from_secs(20);

/// A file of settings for one cluster.
struct Kubeconfig {
    folder: TempDir,
    place: Place,
}

impl Kubeconfig {
    /// Of a cluster with these settings, and a user with those.
    fn new(cluster: &str, user: &str) -> Self {
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: here, contexts: [{{name: here, context: {{cluster: it, user: me, \
             namespace: shop}}}}, {{name: there, context: {{cluster: it, user: me}}}}], clusters: [{{name: it, cluster: {{{cluster}}}}}], \
             users: [{{name: me, user: {{{user}}}}}]}}"
        );
        Self::holding(&text)
    }

    fn holding(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, text).unwrap();
        Self { place: Place { kubeconfig: Some(path), context: None }, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cluster(&self) -> Result<Cluster, ClusterError> {
        wait(Cluster::open(&self.place, PATIENCE))
    }
}

fn cluster_at(url: &str) -> Cluster {
    Kubeconfig::new(&format!("server: '{url}'"), "token: secret-token").cluster().unwrap()
}

/// A server that gives these answers, one after the other, and the last one again and again.
fn answering(answers: &'static [(u16, &'static str)]) -> (TestServer, Cluster) {
    let number = AtomicU32::new(0);
    let server = TestServer::start(move |_| {
        let at = number.fetch_add(1, Ordering::SeqCst) as usize;
        let (status, body) = answers[at.min(answers.len() - 1)];
        async move { answer(status, body) }
    });
    let cluster = cluster_at(&server.url(""));
    (server, cluster)
}

const A_MAP: &str = r#"{"kind":"ConfigMap","metadata":{"name":"a"}}"#;

fn a_map() -> Reference {
    Kind::CONFIG_MAP.named(Some("shop"), "a")
}

#[test]
fn questions_are_asked_again_and_orders_given_once() {
    for passing in [429, 502, 503, 504] {
        let answers: &[(u16, &str)] = Box::leak(Box::new([(passing, "busy"), (200, A_MAP)]));
        let (server, cluster) = answering(answers);
        assert!(wait(cluster.get(&a_map())).unwrap().is_some());
        assert_eq!(server.requests(), 2);
        let (server, cluster) = answering(answers);
        let done = wait(cluster.delete(&a_map(), &Deletion::default()));
        // What was refused was not done.
        assert_eq!((done.is_ok(), server.requests()), if passing == 429 { (true, 2) } else { (false, 1) });
    }
    let (server, cluster) = answering(&[(500, "broken")]);
    let error = wait(cluster.get(&a_map())).unwrap_err();
    assert_eq!((error.problem, server.requests()), (Problem::Unknown, 1));
    let words = error.to_string();
    assert!(words.starts_with("read ConfigMap shop/a, cluster here at http://127.0.0.1:"), "{words}");
    assert!(words.ends_with(": status 500: broken"), "{words}");
}

#[test]
fn a_budget_is_not_argued_with() {
    let budget =
        r#"{"message":"no","reason":"TooManyRequests","details":{"causes":[{"reason":"DisruptionBudget"}]}}"#;
    let how = r#"{"resources":[{"name":"pods/eviction","kind":"Eviction","namespaced":true,"group":"policy","version":"v1"}]}"#;
    let answers: &[(u16, &str)] = Box::leak(Box::new([(200, how), (429, budget)]));
    let (server, cluster) = answering(answers);
    let error = wait(cluster.evict("shop", "a", None, None)).unwrap_err();
    assert_eq!((error.problem, server.requests()), (Problem::Budget, 2));
}

#[test]
fn a_list_that_is_too_old_is_read_from_its_beginning() {
    const ITEM: &str = r#"{"metadata":{"continue":"x&y"},"items":[{"metadata":{"name":"a"}}]}"#;
    const LAST: &str = r#"{"metadata":{},"items":[{"metadata":{"name":"b"}}]}"#;
    let (server, cluster) = answering(&[(200, ITEM), (410, "gone"), (200, ITEM), (200, LAST)]);
    let maps = wait(cluster.list(&Kind::CONFIG_MAP, None, "")).unwrap();
    assert_eq!((maps.len(), server.requests()), (2, 4));
    assert_eq!(maps[1]["kind"], "ConfigMap");
    let (server, cluster) = answering(&[(200, ITEM), (410, "gone")]);
    let error = wait(cluster.list(&Kind::CONFIG_MAP, None, "")).unwrap_err();
    assert_eq!((error.problem, server.requests()), (Problem::Expired, 3));
    let (_server, cluster) = answering(&[(200, r#"{"metadata":{},"items":null}"#)]);
    assert_eq!(wait(cluster.list(&Kind::CONFIG_MAP, None, "")).unwrap(), Vec::<serde_json::Value>::new());
}

#[test]
fn what_cannot_be_read_is_an_error_that_shows_nothing_of_it() {
    let pods = r#"{"metadata":{},"items":[{"metadata":{"name":"a","uid":"u","resourceVersion":"1"},
        "spec":{"containers":[]},"status":{"phase":"Secretive"}}]}"#;
    for unreadable in [pods, "secretive", "k8s\0\x0a\x02\x08"] {
        let answers: &[(u16, &str)] = Box::leak(Box::new([(200, unreadable)]));
        let (_server, cluster) = answering(answers);
        let error = wait(cluster.pods(&PodFilter::default())).unwrap_err();
        assert_eq!(error.problem, Problem::Unknown);
        assert!(!error.to_string().to_lowercase().contains("secretive"), "{error}");
    }
}

#[test]
fn no_answer_is_waited_for_longer_than_one_has_patience() {
    let silent = RawServer::start(|mut stream| {
        read_request(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let cluster = cluster_at(&silent.url());
    let error = wait(cluster.within(Duration::from_millis(300)).get(&a_map())).unwrap_err();
    assert_eq!(error.problem, Problem::Unknown);
    assert!(error.to_string().contains("no answer within 300ms"), "{error}");
    // One that has not answered yet may need longer, for its first connection.
    assert_eq!(cluster.hurried(Duration::from_millis(1)).patience(), PATIENCE);
    let (_server, used) = answering(&[(200, A_MAP)]);
    wait(used.get(&a_map())).unwrap();
    assert_eq!(used.hurried(Duration::from_millis(1)).patience(), Duration::from_millis(1));
}

#[test]
fn nobody_there_is_told_with_the_cause() {
    let (_held, address) = squall_http::testing::refusing_address();
    let error = wait(cluster_at(&format!("http://{address}")).version().map_ok_to_text()).unwrap_err();
    assert_eq!(error.problem, Problem::Unknown);
    assert!(error.to_string().contains("onnection refused"), "{error}");
}

/// What lives longer than the cluster that it is asked of.
trait ToText {
    fn map_ok_to_text(self) -> impl Future<Output = Result<String, ClusterError>>;
}

impl<'c, F: Future<Output = Result<&'c Version, ClusterError>>> ToText for F {
    async fn map_ok_to_text(self) -> Result<String, ClusterError> {
        self.await.map(ToString::to_string)
    }
}

#[test]
fn connections_outlast_the_runtimes_of_those_who_ask() {
    let (server, cluster) = answering(&[(200, A_MAP)]);
    wait(cluster.get(&a_map())).unwrap();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(cluster.get(&a_map())).unwrap();
        // Also from within one that must not be blocked.
        runtime.block_on(async { wait(cluster.get(&a_map())) }).unwrap();
    }
    assert_eq!((server.requests(), server.connections()), (5, 1));
}

#[test]
fn settings_say_which_cluster_and_as_whom() {
    let config = Kubeconfig::new("server: 'http://127.0.0.1:1/'", "token: secret-token");
    let cluster = config.cluster().unwrap();
    assert_eq!(
        (cluster.server(), cluster.context(), cluster.namespace()),
        ("http://127.0.0.1:1", Some("here"), "shop")
    );
    assert_eq!(cluster.kubeconfig(), [config.path("kubeconfig")]);
    assert_eq!(format!("{cluster:?}"), "Cluster(cluster here at http://127.0.0.1:1)");
    let there = Place { context: Some("there".to_owned()), ..config.place.clone() };
    let there = wait(Cluster::open(&there, PATIENCE)).unwrap();
    assert_eq!((there.context(), there.namespace()), (Some("there"), "default"));
    let nowhere = Place { context: Some("nowhere".to_owned()), ..config.place.clone() };
    let error = wait(Cluster::open(&nowhere, PATIENCE)).unwrap_err();
    assert_eq!(error.problem, Problem::Invalid);
    let told = error.to_string();
    assert!(told.contains("find the context `nowhere` in "), "{told}");
    assert!(told.ends_with("there is none of this name; there are: here, there"), "{told}");
    let missing = Place { kubeconfig: Some(config.path("missing")), context: None };
    let error = wait(Cluster::open(&missing, PATIENCE)).unwrap_err();
    assert!(error.to_string().contains("missing: ") && error.problem == Problem::Invalid, "{error}");
}

#[test]
fn mistakes_in_settings_are_told_without_what_stands_there() {
    let torn = "apiVersion: v1\nkind: Config\nusers:\n- name: me\n  user: {token: very-secret\n- oh: [\n";
    let kinds = "apiVersion: v1\nkind: Config\nusers: {very-secret: 1}\n";
    for text in [torn, kinds] {
        let error = Kubeconfig::holding(text).cluster().unwrap_err();
        let words = error.to_string();
        assert_eq!(error.problem, Problem::Invalid);
        assert!(words.contains("line ") && !words.contains("very-secret"), "{words}");
    }
    for (cluster, user) in [
        ("server: 'https://h', certificate-authority-data: dmVyeS1zZWNyZXQ=", ""),
        ("server: 'https://h', certificate-authority-data: very-secret", ""),
        (
            "server: 'https://h'",
            "client-certificate-data: dmVyeS1zZWNyZXQ=, client-key-data: dmVyeS1zZWNyZXQ=",
        ),
        ("server: 'https://h'", "token: \"very-secret\\n\""),
        ("server: 'https://h', proxy-url: 'ftp://me:very-secret@h'", ""),
    ] {
        let error = Kubeconfig::new(cluster, user).cluster().unwrap_err();
        let words = error.to_string();
        assert!(!words.contains("very-secret") && !words.contains("dmVyeS1zZWNyZXQ"), "{words}");
    }
}

/// A server that lets in whoever has this token.
fn wanting(token: &'static str) -> TestServer {
    TestServer::start(move |request| {
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let is_right = given == Some(&format!("Bearer {token}"));
        async move { if is_right { answer(200, A_MAP) } else { answer(401, "who are you?") } }
    })
}

/// Settings of a user whom a shell gets credentials for.
fn plugin(script: &str) -> String {
    let script = script.replace('\'', "''");
    format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable, command: /bin/sh, args: ['-c', '{script}']}}"
    )
}

const CREDENTIAL: &str =
    r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"TOKEN"}}"#;

#[test]
fn a_plugin_gets_credentials_and_gets_new_ones_when_they_expire() {
    let server = wanting("second");
    let config = Kubeconfig::new(&format!("server: '{}'", server.url("")), "token: none");
    // `kube` asks twice for each client.
    let script = format!(
        "echo >> {state}; t=first; [ $(wc -l < {state}) -gt 2 ] && t=second; echo '{CREDENTIAL}' | sed s/TOKEN/$t/",
        state = config.path("state").display()
    );
    let text = std::fs::read_to_string(config.path("kubeconfig")).unwrap();
    std::fs::write(config.path("kubeconfig"), text.replace("token: none", &plugin(&script))).unwrap();
    let cluster = config.cluster().unwrap();
    assert!(wait(cluster.get(&a_map())).unwrap().is_some());
    assert_eq!(server.requests(), 2);
    wait(cluster.get(&a_map())).unwrap();
    assert_eq!(server.requests(), 3);
    let error = wait(cluster_at(&server.url("")).get(&a_map())).unwrap_err();
    assert_eq!(error.problem, Problem::Forbidden);
    assert!(
        error.to_string().contains("log in again") && !error.to_string().contains("secret-token"),
        "{error}"
    );
}

#[test]
fn what_a_plugin_prints_is_never_shown() {
    for (script, told) in [
        ("echo very-secret; echo log in first >&2; exit 3", "exit status: 3: log in first; log in again"),
        ("echo '{\"very-secret\": '", "printed no credentials that can be read"),
        ("exec 0</dev/null; read -r line || echo very-secret >/dev/null; exit 4", "exit status: 4"),
    ] {
        let config = Kubeconfig::new("server: 'http://127.0.0.1:1'", &plugin(script));
        let error = config.cluster().unwrap_err();
        let words = error.to_string();
        assert_eq!(error.problem, Problem::Forbidden);
        assert!(
            words.starts_with("get credentials for cluster here at http://127.0.0.1:1: the plugin /bin/sh"),
            "{words}"
        );
        assert!(words.contains(told) && !words.contains("very-secret"), "{words}");
    }
    let user = "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: no-such-plugin}";
    let error = Kubeconfig::new("server: 'http://127.0.0.1:1'", user).cluster().unwrap_err();
    assert!(error.to_string().contains("no-such-plugin for credentials cannot be started"), "{error}");
}

#[test]
fn certificates_tell_both_sides_who_the_other_one_is() {
    let (tls, authority, (certificate, key)) = mutual_tls();
    let server = TestServer::speaking(Speech { tls: Some(tls), ..Speech::default() }, |_| async {
        answer(200, A_MAP)
    });
    let address = format!("server: 'https://127.0.0.1:{}'", server.address.port());
    let user = "client-certificate: me.crt, client-key: me.key";
    let trusting = Kubeconfig::new(&format!("{address}, certificate-authority: ca.crt"), user);
    for (name, text) in [("ca.crt", &authority), ("me.crt", &certificate), ("me.key", &key)] {
        std::fs::write(trusting.path(name), text).unwrap();
    }
    assert!(wait(trusting.cluster().unwrap().get(&a_map())).unwrap().is_some());
    let nobody = Kubeconfig::new(&format!("{address}, certificate-authority: ca.crt"), "");
    std::fs::write(nobody.path("ca.crt"), &authority).unwrap();
    let error = wait(nobody.cluster().unwrap().get(&a_map())).unwrap_err();
    assert_eq!(error.problem, Problem::Unknown, "{error}");
    let wary = Kubeconfig::new(&address, "");
    let error = wait(wary.cluster().unwrap().get(&a_map())).unwrap_err();
    assert!(error.problem == Problem::Unknown && error.to_string().contains("certificate"), "{error}");
}

#[test]
fn a_cluster_behind_a_proxy_is_reached_through_it() {
    let (server, _) = answering(&[(200, A_MAP)]);
    let behind = server.address;
    let proxy = RawServer::start(move |mut stream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        // me:secret
        let is_known = head.starts_with("connect cluster.invalid:80 ") && head.contains("basic bwu6c2vjcmv0");
        if !is_known {
            let _ = stream.write_all(b"HTTP/1.1 407 Who are you?\r\n\r\n");
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let beyond = TcpStream::connect(behind).unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), beyond.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut &beyond, &mut stream);
    });
    let through = |login: &str| {
        let proxy = format!("http://{login}{}", proxy.url().trim_start_matches("http://"));
        Kubeconfig::new(&format!("server: 'http://cluster.invalid:80', proxy-url: '{proxy}'"), "")
            .cluster()
            .unwrap()
    };
    assert!(wait(through("me:secret@").get(&a_map())).unwrap().is_some());
    let error = wait(through("me:wrong@").get(&a_map())).unwrap_err();
    assert!(error.problem == Problem::Unknown && !error.to_string().contains("wrong"), "{error}");
}

/// A server of the newer protocol, which can say that input has ended: it gives back what it read, and ends with this status.
async fn echoing(status: &'static str) -> Cluster {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        #[expect(clippy::result_large_err, reason = "what the library wants")]
        let choose = |request: &Request, mut response: Response| {
            assert_eq!(
                request.uri().to_string(),
                "/api/v1/namespaces/shop/pods/a/exec?stdout=true&stderr=true&stdin=true&container=main&command=cat&command=-"
            );
            let protocol = "v5.channel.k8s.io".parse().unwrap();
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap();
        let mut read = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) if bytes.as_ref() == [255, 0] => break,
                Message::Binary(bytes) => read.extend_from_slice(&bytes[1..]),
                _ => {}
            }
        }
        let told = |number: u8, bytes: &[u8]| Message::binary([&[number], bytes].concat());
        for message in
            [told(1, b""), told(3, b""), told(1, &read), told(2, b"enough"), told(3, status.as_bytes())]
        {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    });
    cluster_at(&format!("http://{address}"))
}

#[test]
fn newer_servers_are_told_where_input_ends() {
    for (status, code) in [
        (r#"{"status":"Success"}"#, Some(0)),
        (r#"{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"9"}]}}"#, Some(9)),
        (r#"{"status":"Failure","reason":"InternalError","message":"no such program"}"#, None),
        ("", None),
    ] {
        wait(async {
            let cluster = echoing(status).await;
            let Exec { mut stdin, mut stdout, mut stderr, exit } =
                cluster.exec("shop", "a", Some("main"), &["cat", "-"]).await?;
            stdin.write_all(b"hello").await.unwrap();
            stdin.shutdown().await.unwrap();
            let (mut out, mut err) = (String::new(), String::new());
            stdout.read_to_string(&mut out).await.unwrap();
            stderr.read_to_string(&mut err).await.unwrap();
            assert_eq!((out.as_str(), err.as_str()), ("hello", "enough"));
            let end = exit.code().await;
            assert_eq!(end.clone().ok(), code, "{end:?}");
            Ok(())
        })
        .unwrap();
    }
}
