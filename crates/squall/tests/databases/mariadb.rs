//! Faults on a real `MariaDB` and its replica, whoever dies and whatever is lost between them.

use crate::lab::{
    Cable, Killed, Seeing, Seen, each_outlives_no_network, each_outlives_nobody,
    the_next_agent_knows_the_password,
};
use crate::support::wait_until;
use squall_database::testing::mariadb::MariaDbServer;

/// Faults by their parameters, and how they are seen on the server. All but the last are on a primary.
const FAULTS: &[(&str, &str, Option<&str>)] = &[
    ("mysql.connections", "{count: 12}", None),
    ("mysql.slow_queries", "{count: 2, mode: sleep}", None),
    ("mysql.lock", "{table: shop.orders}", None),
    ("mysql.lock", "{table: shop.orders, rows: id < 2}", None),
    ("mysql.long_transaction", "{table: shop.orders}", None),
    ("mysql.kill_connections", "{user: nobody, every: 500ms}", None),
    ("mysql.readonly", "{}", Some("SELECT @@global.read_only")),
    ("mysql.replication_lag", "{}", Some(REPLAYS)),
];

const REPLAYS: &str =
    "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'SLAVE_RUNNING'";

impl Seen for MariaDbServer {
    fn url(&self, host: &str) -> String {
        format!("mysql://root@{host}:{}", self.port)
    }
    fn ask(&self, text: &str) -> String {
        self.ask(text)
    }
    fn sessions(&self) -> usize {
        // Whoever else is `root` comes over the socket.
        let sessions =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'root' AND HOST LIKE '%:%'";
        self.ask(sessions).parse().unwrap()
    }
}

#[test]
fn nothing_outlives_its_owners_and_the_network() {
    let Some(cable) = Cable::lay("mariadb", 2) else { return };
    let place = Some((cable.namespace.as_str(), cable.address.as_str()));
    let Some(primary) = MariaDbServer::start_in(place, &["--log-bin=log", "--server-id=1"]) else { return };
    let Some(replica) = MariaDbServer::start_in(place, &["--server-id=2"]) else { return };
    primary.ask("CREATE USER copy; GRANT REPLICATION SLAVE ON *.* TO copy; CREATE DATABASE shop");
    primary.ask("CREATE TABLE shop.orders (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO shop.orders VALUES (1), (2)");
    replica.ask(&format!(
        "CHANGE MASTER TO MASTER_HOST='{}', MASTER_PORT={}, MASTER_USER='copy', MASTER_LOG_FILE='log.000001', \
         MASTER_LOG_POS=4, MASTER_USE_GTID=no; START SLAVE",
        cable.address, primary.port
    ));
    wait_until(|| replica.ask(REPLAYS) == "ON");
    let seeing = |(fault, with, seen_by): &(&'static str, &'static str, Option<&'static str>)| {
        let server = if *fault == "mysql.replication_lag" { &replica } else { &primary };
        Seeing { server, host: &cable.address, fault, with, seen_by: *seen_by }
    };
    let faults: Vec<Seeing<'_>> = FAULTS.iter().map(seeing).collect();
    for who in [Killed::Agent, Killed::BrainAndAgent, Killed::All] {
        each_outlives_nobody(who, &faults);
    }
    each_outlives_no_network(&[&cable], &faults);
}

#[test]
fn an_agent_that_takes_the_place_of_another_is_told_the_password() {
    let Some(server) = MariaDbServer::start(&[]) else { return };
    server.ask("CREATE USER app@'127.0.0.1' IDENTIFIED BY 'geheim'; GRANT ALL ON *.* TO app@'127.0.0.1'");
    let url = format!("mysql://app:geheim@127.0.0.1:{}", server.port);
    the_next_agent_knows_the_password("mysql.readonly", &url, || server.ask("SELECT @@global.read_only"));
}
