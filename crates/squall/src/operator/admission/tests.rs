//! A real API server that asks a webhook here, and users who would rather be somebody else.

use super::*;
use crate::operator::author::Author;
use crate::operator::resources::{AUTHOR, GROUP, VERSION};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use squall_kubernetes::testing::{Lab, Room, in_a_room};
use squall_kubernetes::{ClusterError, Deletion, Place, pointer};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

#[test]
fn every_webhook_of_ours_learns_whom_to_believe() {
    let asked = |bundle: &Json| {
        let one = |name: &str| json!({"name": name, "clientConfig": {"caBundle": bundle}});
        believing(&json!({"webhooks": [one("x.example"), one("author.squall.dev")]}), "new")
    };
    let operations = json!([
        {"op": "test", "path": "/webhooks/1/name", "value": "author.squall.dev"},
        {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "new"},
    ]);
    assert_eq!(json!(asked(&json!("old"))), operations);
    assert_eq!(asked(&json!("new")), Some(Vec::new()));
    assert_eq!(believing(&json!({"webhooks": [{"name": "x.example"}]}), "new"), None);
    assert_eq!(believing(&json!({}), "new"), None);
}

#[test]
fn the_operator_knows_its_own_name_by_its_token() {
    let token = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let name = "system:serviceaccount:squall-system:squall-operator";
    assert_eq!(account_of(&token(&format!(r#"{{"sub": "{name}"}}"#))).as_deref(), Some(name));
    for none in [token(r#"{"sub": "alice"}"#), token("{}"), "opaque".to_owned(), String::new()] {
        assert_eq!(account_of(&none), None);
    }
    let folder = tempfile::tempdir().unwrap();
    let error = own_account(&folder.path().join("token")).unwrap_err();
    assert!(error.contains("--webhook-operator"), "{error}");
}

#[test]
fn what_asks_for_no_review_gets_none() {
    assert_eq!(admitted(b"nonsense", "me"), None);
    assert_eq!(
        admitted(
            br#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {}}"#,
            "me"
        ),
        None
    );
    let asked =
        br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "7"}}"#;
    assert_eq!(admitted(asked, "me").unwrap()["response"], json!({"uid": "7", "allowed": true}));
}

#[test]
fn an_installation_asks_for_all_of_our_kinds() {
    let [service, configuration] = manifests(&json!("squall-system"), true);
    let webhook = &configuration["webhooks"][0];
    assert_eq!(webhook["rules"][0]["apiGroups"], json!(["squall.dev", "chaos-mesh.org"]));
    assert_eq!(webhook["clientConfig"]["service"]["name"], service["metadata"]["name"]);
    assert!(webhook["name"].as_str().unwrap().ends_with(NAMES_END));
}

/// A kind that only this test has, and a configuration that asks about it alone.
struct Installed {
    cluster: Cluster,
    kind: Kind,
    configuration: String,
}

impl Installed {
    async fn new(cluster: &Cluster, room: &Room) -> Result<Self, ClusterError> {
        let word = format!("authored{}", std::process::id());
        let plural = format!("{word}s");
        let kind = Kind {
            group: GROUP.into(),
            version: VERSION.into(),
            kind: "Authored".into(),
            plural: plural.clone().into(),
            namespaced: true,
        };
        let installed =
            Self { cluster: cluster.clone(), kind: kind.clone(), configuration: room.name.clone() };
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": any}}});
        let version = json!({"name": VERSION, "served": true, "storage": true, "schema": schema});
        let names =
            json!({"plural": plural, "singular": word, "kind": "Authored", "listKind": "AuthoredList"});
        let definition = json!({
            "metadata": {"name": format!("{plural}.{GROUP}")},
            "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
        });
        cluster.create(&Kind::CUSTOM_RESOURCE_DEFINITION, None, &definition).await?;
        room.until("the kind", async || Ok(cluster.list(&kind, Some(&room.name), "").await.is_ok())).await?;
        let nowhere = json!({"url": format!("https://127.0.0.1:1{PATH}")});
        let mut asking = configuration(&room.name, &nowhere, &[GROUP]);
        asking["webhooks"][0]["rules"][0]["resources"] = json!([plural]);
        cluster.create(&Kind::MUTATING_WEBHOOK_CONFIGURATION, None, &asking).await?;
        Ok(installed)
    }

    /// Has the API server ask a webhook here.
    async fn ask_at(&self, port: u16) -> Result<(), ClusterError> {
        let url = format!("https://127.0.0.1:{port}{PATH}").into();
        let operations = [Operation::Replace { path: "/webhooks/0/clientConfig/url".to_owned(), value: url }];
        let reference = Kind::MUTATING_WEBHOOK_CONFIGURATION.named(None, &self.configuration);
        self.cluster.patch(&reference, &operations).await.map(|_| ())
    }

    async fn believed(&self) -> Result<Json, ClusterError> {
        let reference = Kind::MUTATING_WEBHOOK_CONFIGURATION.named(None, &self.configuration);
        let there = self.cluster.get(&reference).await?.unwrap_or_default();
        Ok(there["webhooks"][0]["clientConfig"]["caBundle"].clone())
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let definition = format!("{}.{GROUP}", self.kind.plural);
        let references = [
            Kind::MUTATING_WEBHOOK_CONFIGURATION.named(None, &self.configuration),
            Kind::CUSTOM_RESOURCE_DEFINITION.named(None, &definition),
        ];
        for reference in references {
            let _ = squall_kubernetes::wait(self.cluster.delete(&reference, &Deletion::default()));
        }
    }
}

/// A client as somebody else, who may do everything with the kind in the room.
async fn as_somebody(lab: &Lab, room: &Room, kind: &Kind, name: &str) -> Result<Cluster, ClusterError> {
    let group = "rbac.authorization.k8s.io";
    let rules = json!([{"apiGroups": [GROUP], "resources": [kind.plural], "verbs": ["*"]}]);
    let role = json!({"metadata": {"name": name}, "rules": rules});
    lab.cluster.create(&Kind::ROLE, Some(&room.name), &role).await?;
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
    });
    lab.cluster.create(&Kind::ROLE_BINDING, Some(&room.name), &binding).await?;
    let text = std::fs::read_to_string(lab.place.kubeconfig.clone().unwrap()).unwrap();
    let impersonating =
        text.replace("user: {token:", &format!("user: {{as: {name}, as-groups: [team], token:"));
    assert_ne!(text, impersonating);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, impersonating).unwrap();
    let place = Place { kubeconfig: Some(path), context: None };
    Cluster::open(&place, Duration::from_secs(20)).await
}

fn author(object: &Json) -> String {
    Author::of(object).unwrap().map(|author| author.username).unwrap_or_default()
}

/// What a server here answers to these bytes, over TLS.
async fn raw(port: u16, bundle: &str, request: &str) -> String {
    let mut roots = rustls::RootCertStore::empty();
    let pem = STANDARD.decode(bundle).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // It may end without a farewell.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[test]
fn nobody_can_be_named_as_the_author_but_whoever_it_is() {
    in_a_room("admission", async |lab, room| {
        if !lab.is_here {
            println!("skipped: the API server of this cluster does not reach a webhook here");
            return Ok(());
        }
        let cluster = &lab.cluster;
        let installed = Installed::new(cluster, room).await?;
        let options = WebhookOptions {
            webhook: Some((Ipv4Addr::LOCALHOST, 0).into()),
            webhook_name: Some("127.0.0.1".to_owned()),
            webhook_configuration: room.name.clone(),
            webhook_operator: Some("admin".to_owned()),
        };
        let webhook = Webhook::open(cluster, &room.name, &options).await.unwrap().unwrap();
        let port = webhook.address().unwrap().port();
        installed.ask_at(port).await?;
        let serving = tokio::spawn(webhook.serve());

        let (alice, bob) = (
            as_somebody(lab, room, &installed.kind, "alice").await?,
            as_somebody(lab, room, &installed.kind, "bob").await?,
        );
        let forged = json!({
            "metadata": {"generateName": "x-", "annotations": {AUTHOR: r#"{"username": "root"}"#}},
            "spec": {"kills": 1},
        });
        // Until the API server has heard of the webhook and where it is.
        let made = room
            .until("the webhook to be asked", async || {
                let made = alice.create(&installed.kind, Some(&room.name), &forged).await;
                Ok(made.ok().filter(|made| author(made) != "root"))
            })
            .await?;
        let known = Author::of(&made).unwrap().unwrap();
        assert_eq!(known.username, "alice");
        assert!(known.groups.contains(&"team".to_owned()), "{known:?}");

        let reference = installed.kind.named(Some(&room.name), made["metadata"]["name"].as_str().unwrap());
        let forge =
            Operation::Add { path: pointer(&["metadata", "annotations", AUTHOR]), value: "{}".into() };
        let pause = pointer(&["metadata", "annotations", "squall.dev/pause"]);
        let pause = Operation::Add { path: pause, value: "true".into() };
        let changed = bob.patch(&reference, &[forge.clone(), pause]).await?;
        assert_eq!(
            (author(&changed).as_str(), &changed["metadata"]["annotations"]["squall.dev/pause"]),
            ("alice", &json!("true"))
        );
        let kill = |count: u32| Operation::Replace { path: "/spec/kills".to_owned(), value: count.into() };
        assert_eq!(author(&bob.patch(&reference, &[forge, kill(2)]).await?), "bob");
        // The operator names others, and changes what it likes.
        assert_eq!(author(&cluster.patch(&reference, &[kill(3)]).await?), "bob");
        assert_eq!(author(&cluster.create(&installed.kind, Some(&room.name), &forged).await?), "root");

        let bundle = installed.believed().await?;
        let replica = Webhook::open(cluster, &room.name, &options).await.unwrap().unwrap();
        assert_ne!(replica.address().unwrap().port(), port);
        assert_eq!(installed.believed().await?, bundle);

        let bundle = bundle.as_str().unwrap();
        let post = |path: &str, length: usize, body: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        };
        for (request, status) in [
            ("GET /admit HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(), "404"),
            (post("/", 2, "{}"), "404"),
            (post(PATH, 2, "{}"), "400"),
            (post(PATH, LONGEST_REQUEST + 1, "{"), "413"),
        ] {
            let answer = raw(port, bundle, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }

        // Nobody is let pass unseen.
        serving.abort();
        let _ = serving.await;
        let refused = alice.create(&installed.kind, Some(&room.name), &forged).await.unwrap_err();
        assert!(refused.to_string().contains("author.squall.dev"), "{refused}");
        Ok(())
    });
}
