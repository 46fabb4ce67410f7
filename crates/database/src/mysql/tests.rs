//! A real MariaDB is spoken to.

use super::*;
use crate::testing::mariadb::MariaDbServer;
use squall_model::server::ServerUrl;

const WITHIN: Duration = Duration::from_secs(5);

async fn session(url: &str, name: &str) -> Result<Box<dyn Session>, DatabaseError> {
    let url: ServerUrl = url.parse().unwrap();
    let manner = Manner { name: name.to_owned(), ..Manner::asking(WITHIN) };
    crate::open(&Login::of(&url).unwrap(), &manner).await
}

fn text(text: &str) -> Statement {
    Statement::text(text)
}

#[tokio::test]
async fn a_session_asks_finds_others_by_what_they_say_and_ends_them() {
    let Some(server) = MariaDbServer::start(&[]) else { return };
    let mut ours = session(&server.url(), "squall").await.unwrap();
    let mut held = session(&server.url(), "squall-a").await.unwrap();
    let facts = ours.facts().await.unwrap();
    assert!(facts.version.contains("MariaDB") && facts.major() >= 10 && facts.is_superuser, "{facts:?}");
    assert!(facts.limit.unwrap() > 0 && !facts.is_replica && facts.used >= 1, "{facts:?}");
    let rows = ours.say(&text("SELECT 1 AS a, NULL AS b UNION SELECT 'x', 'y z'")).await.unwrap();
    assert_eq!(rows.columns, ["a", "b"]);
    assert_eq!(rows.rows[1], [Some("x".to_owned()), Some("y z".to_owned())]);
    let error = ours.say(&text("SELECT x FROM no_such.thing")).await.unwrap_err();
    assert_eq!(error.reason, Reason::Answered, "{error}");
    let sleeping = tokio::spawn(async move { held.say(&text("SELECT SLEEP(5)")).await });
    let marked = loop {
        let marked = ours.marked("squall-").await.unwrap();
        if !marked.is_empty() {
            break marked;
        }
    };
    assert_eq!(marked.iter().map(|one| one.mark.as_str()).collect::<Vec<_>>(), ["squall-a"]);
    ours.end(&marked[0]).await.unwrap();
    ours.end(&marked[0]).await.unwrap();
    assert_eq!(sleeping.await.unwrap().unwrap_err().reason, Reason::Lost);
    ours.keep_alive().await.unwrap();
}

#[tokio::test]
async fn who_gives_up_waiting_does_not_get_the_answer_later() {
    let Some(server) = MariaDbServer::start(&[]) else { return };
    let mut session = session(&server.url(), "squall").await.unwrap();
    for question in ["SELECT SLEEP(0.2)", "SELECT x FROM no_such.thing WHERE SLEEP(0.1)"] {
        let question = text(question);
        drop(tokio::time::timeout(Duration::from_millis(20), session.say(&question)).await);
    }
    assert_eq!(session.say(&text("SELECT 'v'")).await.unwrap().first(), Some("v"));
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_told() {
    let Some(server) = MariaDbServer::start(&["--max-connections=10"]) else { return };
    server
        .ask("CREATE USER app IDENTIFIED BY 'hunter2'; CREATE DATABASE shop; GRANT SELECT ON shop.* TO app");
    let place = format!("127.0.0.1:{}", server.port);
    for (url, reason, remedy) in [
        (format!("mysql://app:hunter3@{place}"), Reason::Denied, "is theirs"),
        (format!("mysql://app@{place}"), Reason::Denied, "password_env=NAME"),
        (format!("mysql://app:hunter2@{place}/mysql"), Reason::Denied, "grant the user"),
        (format!("mysql://root@{place}/none"), Reason::Answered, "a database that is there"),
        (format!("mysql://app:hunter2@{place}?sslmode=require"), Reason::Unreachable, "sslmode=disable"),
    ] {
        let error = session(&url, "squall").await.err().unwrap();
        assert_eq!(error.reason, reason, "{error}");
        let told = error.to_string();
        assert!(told.contains(remedy) && !told.contains("hunter"), "{told}");
    }
    let url = format!("mariadb://app:hunter2@{place}/shop");
    assert_eq!(session(&url, "squall").await.unwrap().facts().await.unwrap().user, "app@%");
    let mut held = Vec::new();
    let full = loop {
        match session(&url, "squall").await {
            Ok(session) => held.push(session),
            Err(error) => break error,
        }
    };
    assert_eq!((full.reason, held.len()), (Reason::Full, 10), "{full}");
    assert!(full.to_string().contains("raise max_connections"), "{full}");
}

#[tokio::test]
async fn what_is_no_mysql_is_told_so() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("mysql://{}", listener.local_addr().unwrap());
    let answer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"\x05\x00\x00\x00hello").await.unwrap();
        stream
    });
    let error = session(&url, "squall").await.err().unwrap();
    assert!(error.to_string().contains("not how MySQL answers"), "{error}");
    drop(answer.await.unwrap());
}
