//! A real Redis is spoken to.

use super::*;
use crate::testing::redis::RedisServer;
use squall_model::server::ServerUrl;

const WITHIN: Duration = Duration::from_secs(5);

fn manner(name: &str) -> Manner {
    Manner { name: name.to_owned(), ..Manner::asking(WITHIN) }
}

async fn session(url: &str, name: &str) -> Result<Box<dyn Session>, DatabaseError> {
    let url: ServerUrl = url.parse().unwrap();
    crate::open(&Login::of(&url).unwrap(), &manner(name)).await
}

#[tokio::test]
async fn a_session_asks_finds_others_by_name_and_ends_them() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let mut ours = session(&server.url(), "squall").await.unwrap();
    let mut held = session(&server.url(), "squall-a").await.unwrap();
    let facts = ours.facts().await.unwrap();
    assert!(facts.limit.unwrap() > 0 && facts.major() >= 5 && !facts.is_replica, "{facts:?}");
    assert_eq!((facts.used, facts.settings["maxmemory_policy"].as_str()), (1, "noeviction"));
    assert_eq!(server.ask("CLIENT LIST").matches("name=squall-a").count(), 1);
    let marked = ours.marked("squall-").await.unwrap();
    assert_eq!(marked.iter().map(|one| one.mark.as_str()).collect::<Vec<_>>(), ["squall-a"]);
    held.keep_alive().await.unwrap();
    ours.end(&marked[0]).await.unwrap();
    ours.end(&marked[0]).await.unwrap();
    while held.keep_alive().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ours.marked("squall-").await.unwrap(), []);
    let said = ours.say(&Statement::words(["SET", "k", "a b\r\nc"])).await.unwrap();
    assert_eq!(said.first(), Some("OK"));
    assert_eq!(ours.say(&Statement::words(["GET", "k"])).await.unwrap().first(), Some("a b\r\nc"));
    let error = ours.say(&Statement::words(["LPUSH", "k", "1"])).await.unwrap_err();
    assert_eq!(error.reason, Reason::Answered);
}

#[tokio::test]
async fn who_gives_up_waiting_does_not_get_the_answer_later() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let mut session = session(&server.url(), "squall").await.unwrap();
    session.say(&Statement::words(["SET", "k", "v"])).await.unwrap();
    for timeout in ["0.2", "0.2"] {
        let wait = Statement::words(["BLPOP", "none", timeout]);
        assert!(tokio::time::timeout(Duration::from_millis(20), session.say(&wait)).await.is_err());
    }
    assert_eq!(session.say(&Statement::words(["GET", "k"])).await.unwrap().first(), Some("v"));
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_told() {
    let Some(server) = RedisServer::start(&["--requirepass", "hunter2", "--maxclients", "3"]) else { return };
    let place = format!("127.0.0.1:{}", server.port);
    for (url, reason, remedy) in [
        (format!("redis://{place}"), Reason::Denied, "password_env=NAME"),
        (format!("redis://:hunter3@{place}"), Reason::Denied, "is theirs"),
        (format!("redis://nobody:hunter2@{place}"), Reason::Denied, "is theirs"),
        (format!("redis://:hunter2@{place}/77"), Reason::Answered, "a database that is there"),
    ] {
        let error = session(&url, "squall").await.err().unwrap();
        assert_eq!(error.reason, reason, "{error}");
        let told = error.to_string();
        assert!(told.contains(remedy) && !told.contains("hunter"), "{told}");
    }
    let url = format!("redis://default:hunter2@{place}/1");
    let mut held = Vec::new();
    let full = loop {
        match session(&url, "squall").await {
            Ok(session) => held.push(session),
            Err(error) => break error,
        }
    };
    assert_eq!((full.reason, held.len()), (Reason::Full, 3), "{full}");
}

#[tokio::test]
async fn what_is_no_redis_and_what_is_closed_is_told_so() {
    let port = crate::testing::free_port();
    let refused = session(&format!("redis://127.0.0.1:{port}"), "squall").await.err().unwrap();
    assert_eq!(refused.reason, Reason::Refused);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let answer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 64]).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = session(&url, "squall").await.err().unwrap();
    assert!(error.to_string().contains("not how Redis answers"), "{error}");
    answer.await.unwrap();
}
