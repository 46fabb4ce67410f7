//! Real databases are asked, and answer nothing, late, or too much.

use super::*;
use squall_database::testing::mariadb::MariaDbServer;
use squall_database::testing::{PostgresServer, free_port};

async fn asked(url: &str, query: &str) -> Result<Reading, String> {
    Sql::at(url, query, "2s").observe().await.map_err(|error| error.to_string())
}

/// What every kind of database answers alike.
async fn answers(url: &str) {
    let one = asked(url, "SELECT 7 AS orders, 'open' AS state, NULL AS absent").await.unwrap();
    assert_eq!((&one["value"], &one["rows"]), (&Value::Number(7.0), &Value::Number(1.0)));
    assert_eq!((&one["column.orders"], &one["column.state"]), (&Value::Number(7.0), &Value::from("open")));
    assert_eq!(one.get("column.absent"), None);
    let none = asked(url, "SELECT 1 WHERE 1 = 0").await.unwrap();
    assert_eq!((none.get("value"), &none["rows"]), (None, &Value::Number(0.0)));
    assert!(none["cause"].to_string().contains("no row"));
    let null = asked(url, "SELECT NULL").await.unwrap();
    assert_eq!((null.get("value"), null["cause"].to_string().contains("NULL")), (None, true));
    let wrong = asked(url, "SELECT x FROM no_such_table").await.unwrap_err();
    assert!(wrong.contains("no_such_table"), "{wrong}");
    let written = asked(url, "CREATE TABLE made_by_squall (x int)").await.unwrap_err();
    assert!(written.to_lowercase().contains("read") && written.to_lowercase().contains("only"), "{written}");
}

#[tokio::test]
async fn postgres_is_asked() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    answers(&server.url()).await;
    let nan = asked(&server.url(), "SELECT 'NaN'::float").await.unwrap();
    assert_eq!(nan["value"], Value::from("NaN"));
    let slow = Sql::at(&server.url(), "SELECT pg_sleep(30)", "300ms").observe().await.unwrap_err();
    assert!(slow.to_string().contains("no answer within 300ms"), "{slow}");
    // Given up here is given up there.
    for _ in 0..100 {
        if server.ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)'") == "0" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let left = server.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'squall'");
    assert_eq!(left, "0");
}

#[tokio::test]
async fn mariadb_is_asked() {
    let Some(server) = MariaDbServer::start(&[]) else { return };
    server.ask("CREATE DATABASE shop");
    answers(&format!("{}/shop", server.url())).await;
    let slow = Sql::at(&server.url(), "SELECT SLEEP(30)", "300ms").observe().await.unwrap_err();
    assert!(slow.to_string().contains("no answer within 300ms"), "{slow}");
}

#[tokio::test]
async fn a_connection_is_kept_and_an_error_does_not_stay_with_it() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    let probe = Sql::at(&server.url(), "SELECT pg_backend_pid()", "2s");
    let first = probe.observe().await.unwrap();
    assert_eq!(first["value"], probe.observe().await.unwrap()["value"]);
    server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'squall'");
    assert_ne!(first["value"], probe.observe().await.unwrap()["value"]);
}

#[tokio::test]
async fn a_file_is_asked_and_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let url = format!("sqlite:{}", path.display());
    let missing = asked(&url, "SELECT 1").await.unwrap_err();
    assert!(missing.contains("shop.db") && !path.exists(), "{missing}");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE orders (id int); INSERT INTO orders VALUES (1), (2)").unwrap();
    let counted = asked(&url, "SELECT count(*) FROM orders").await.unwrap();
    assert_eq!(counted["value"], Value::Number(2.0));
    let forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let slow = Sql::at(&url, forever, "100ms").observe().await.unwrap_err();
    assert!(slow.to_string().contains("no answer within 100ms"), "{slow}");
    answers(&url).await;
}

#[tokio::test]
async fn what_is_down_is_told_without_its_password() {
    let url = format!("postgres://app:hunter2@127.0.0.1:{}/shop", free_port());
    let down = asked(&url, "SELECT 1").await.unwrap_err();
    assert!(down.contains("refused") && !down.contains("hunter2"), "{down}");
    for (url, words) in [
        ("redis://h", "does not speak SQL"),
        ("sqlite:shop.db", "whole path"),
        ("oracle://u:hunter2@h", "no servers of the kind"),
    ] {
        let error = Database::try_from(url.to_owned()).unwrap_err();
        assert!(error.contains(words) && !error.contains("hunter2"), "{error}");
    }
}
