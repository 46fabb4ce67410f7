//! The client of RabbitMQ, on a real one.

use crate::testing::rabbitmq::RabbitServer;
use crate::{DatabaseError, Login, Manner, Reason, Session, open};
use squall_model::server::{ServerUrl, Statement};
use std::time::Duration;

fn login(url: &str) -> Login {
    Login::of(&url.parse::<ServerUrl>().unwrap()).unwrap()
}

async fn session(url: &str, name: &str) -> Box<dyn Session> {
    let within = Duration::from_secs(10);
    let manner = Manner { name: name.to_owned(), lease: Some(Duration::from_secs(5)), within };
    open(&login(url), &manner).await.unwrap()
}

async fn said(session: &mut dyn Session, text: &str) -> Result<String, DatabaseError> {
    let statement = Statement::text(text);
    Ok(session.say(&statement).await?.first().unwrap_or("nothing").to_owned())
}

#[tokio::test]
async fn a_real_broker_is_asked_in_its_own_language_and_over_http() {
    let Some(server) = RabbitServer::start() else { return };
    erlang_is_evaluated(&server).await;
    whoever_is_not_let_in_is_told_why(&server).await;
    what_is_registered_by_a_mark_is_found_and_ended(&server).await;
    facts_come_by_either_door(&server).await;
    what_of_an_address_is_wrong_is_seen(&server).await;
    queues_and_virtual_hosts_that_are_missing_are_told(&server).await;
}

async fn erlang_is_evaluated(server: &RabbitServer) {
    let mut session = session(&server.url(), "squall").await;
    let session = &mut *session;
    for (text, value) in [
        ("1 + 1.", "2"),
        ("1 bsl 70", "1180591620717411303424"),
        ("list_to_binary(io_lib:format(\"~w\", [{absolute, 5}])).", "{absolute,5}"),
        ("X = 'it is', X.", "it is"),
        ("<<>>", ""),
        ("[]", "nothing"),
        ("self().", "…"),
        ("[{a, <<\"b\">>}, {c, 1.5}].", "b"),
    ] {
        assert_eq!(said(session, text).await.unwrap(), value, "{text}");
    }
    for (text, told) in
        [("1 + .", "erl_parse"), ("'a", "erl_scan"), ("1 / 0.", "badarith"), ("x:y().", "undef")]
    {
        let error = said(session, text).await.unwrap_err();
        assert!(error.reason == Reason::Answered && error.to_string().contains(told), "{text}: {error}");
    }
    // One that is given up is passed over, and what is asked next is answered.
    let slow = Statement::text("timer:sleep(300), slow.");
    assert!(tokio::time::timeout(Duration::from_millis(50), session.say(&slow)).await.is_err());
    assert_eq!(said(session, "timer:sleep(500), next.").await.unwrap(), "next");
    assert_eq!(server.eval("length(nodes(hidden))."), "2", "we, and rabbitmqctl");
}

async fn whoever_is_not_let_in_is_told_why(server: &RabbitServer) {
    let folder = tempfile::tempdir().unwrap();
    let cookie = folder.path().join("cookie");
    std::fs::write(&cookie, "HUNTER2").unwrap();
    let url = server.url();
    let wrong = url.replace(&server.cookie().display().to_string(), &cookie.display().to_string());
    let error = said(&mut *session(&wrong, "squall").await, "1.").await.unwrap_err();
    assert_eq!(error.reason, Reason::Denied, "{error}");
    assert!(error.to_string().contains("does not take this Erlang cookie; it must be that of"), "{error}");
    assert!(!error.to_string().contains("HUNTER2"), "{error}");
    let without = said(&mut *session(&server.url_without_cookie(), "squall").await, "1.").await.unwrap_err();
    assert!(without.reason == Reason::Denied && without.to_string().contains("cookie_file="), "{without}");
    let gone = url.replace(&format!("dist_port={}", server.distribution), "dist_port=1");
    let gone = said(&mut *session(&gone, "squall").await, "1.").await.unwrap_err();
    assert_eq!(gone.reason, Reason::Refused, "{gone}");
    for port in [server.port, server.management] {
        let other = url.replace(&format!("dist_port={}", server.distribution), &format!("dist_port={port}"));
        let other = said(&mut *session(&other, "squall").await, "1.").await.unwrap_err().to_string();
        let told = format!("no Erlang node listens on port {port}");
        assert!(other.contains(&told) && other.contains("25672"), "{other}");
    }
    let missing = Login::of(&"amqp://mq?cookie_file=/nowhere".parse().unwrap()).unwrap_err().to_string();
    assert!(missing.contains("/nowhere: No such file") && missing.contains("`cookie_env=NAME`"), "{missing}");
    let amqp = format!("http://guest:guest@127.0.0.1:{}", server.port);
    let error = session(&amqp, "squall").await.facts().await.unwrap_err();
    assert!(error.to_string().contains("not RabbitMQ's management"), "{error}");
    let http = format!("http://guest:hunter2@127.0.0.1:{}", server.management);
    let error = session(&http, "squall").await.facts().await.unwrap_err();
    assert!(error.reason == Reason::Denied && !error.to_string().contains("hunter2"), "{error}");
}

async fn what_is_registered_by_a_mark_is_found_and_ended(server: &RabbitServer) {
    let mut waiter = session(&server.url(), "squall-one").await;
    let waits = Statement::text(
        "register('squall-one', self()), receive alive -> heard end, receive over -> ok end.",
    );
    let mut holder = session(&server.url(), "squall-one").await;
    assert_eq!(said(&mut *holder, "ok").await.unwrap(), "ok");
    let task = tokio::spawn(async move { waiter.say(&waits).await });
    let mut looker = session(&server.url(), "squall").await;
    let mut found = Vec::new();
    for _ in 0..100 {
        found = looker.marked("squall-").await.unwrap();
        if !found.is_empty() {
            break;
        }
    }
    assert_eq!(found.iter().map(|marked| marked.mark.as_str()).collect::<Vec<_>>(), ["squall-one"]);
    holder.keep_alive().await.unwrap();
    assert_eq!(server.eval("element(2, process_info(whereis('squall-one'), message_queue_len))."), "0");
    looker.end(&found[0]).await.unwrap();
    assert_eq!(task.await.unwrap().unwrap().first(), Some("ok"));
    looker.end(&found[0]).await.unwrap();
    assert!(looker.marked("squall-").await.unwrap().is_empty());
    let mut http = session(&server.url_without_cookie(), "squall").await;
    assert!(http.marked("squall-one").await.unwrap().is_empty());
    assert_eq!(http.marked("squall-").await.unwrap_err().reason, Reason::Denied, "unknown is not none");
}

async fn facts_come_by_either_door(server: &RabbitServer) {
    server.management("GET", "/api/overview");
    let both = session(&server.url(), "squall").await.facts().await.unwrap();
    assert!(both.version.starts_with("3.") && both.is_superuser, "{both:?}");
    assert_eq!(both.settings["node"], "rabbit@localhost");
    assert_eq!(both.settings["management"], "yes");
    let http = format!("http://guest:guest@127.0.0.1:{}", server.management);
    let http = session(&http, "squall").await.facts().await.unwrap();
    assert_eq!((http.version, http.is_superuser, http.used), (both.version, true, 0));
    let alone = server.url().replace("guest:guest", "nobody:nothing");
    let alone = session(&alone, "squall").await.facts().await.unwrap();
    assert!(alone.is_superuser && alone.settings["no_management"].contains("401"), "{alone:?}");
}

async fn what_of_an_address_is_wrong_is_seen(server: &RabbitServer) {
    let right = session(&server.url(), "squall").await.facts().await.unwrap();
    assert_eq!((right.settings.get("no_amqp"), right.settings["vhost"].as_str()), (None, "true"));
    // Where its node was found is kept, for whoever undoes.
    let broker = right.server.broker.unwrap();
    assert_eq!(
        (broker.distribution, broker.node.as_deref()),
        (Some(server.distribution), Some("rabbit@localhost"))
    );
    let known = format!("it listens for AMQP on {}", server.port);
    for (port, told) in
        [(1, "nothing accepts connections"), (server.distribution, "none of the broker's own")]
    {
        let wrong = server.url().replace(&format!(":{}?", server.port), &format!(":{port}/nosuch?"));
        let facts = session(&wrong, "squall").await.facts().await.unwrap();
        let no_amqp = &facts.settings["no_amqp"];
        assert!(no_amqp.contains(told) && no_amqp.contains(&known), "{no_amqp}");
        assert_eq!(facts.settings["vhost"], "false");
    }
    let closed = server.url_without_cookie().replace(&format!(":{}?", server.port), ":1?");
    let facts = session(&closed, "squall").await.facts().await.unwrap();
    assert!(facts.settings["no_amqp"].contains("127.0.0.1:1: "), "{facts:?}");
}

async fn queues_and_virtual_hosts_that_are_missing_are_told(server: &RabbitServer) {
    let mut http = session(&server.url_without_cookie(), "squall").await;
    for (words, told) in [
        (&["CHECK", "VHOST", "/"][..], None),
        (&["CHECK", "VHOST", "nosuch"], Some("no virtual host nosuch")),
        (&["CHECK", "QUEUE", "a/b", "IN", "/"], Some("no queue a/b in virtual host /")),
    ] {
        let answer = http.say(&Statement::words(words.iter().copied())).await.unwrap();
        assert_eq!(answer.first(), told, "{words:?}");
    }
}
