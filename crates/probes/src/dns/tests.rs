//! Against a real name server (dnsmasq), where its program is installed, and against ones that misbehave.

use super::*;
use crate::test_probe::{ask, built, refusal};
use serde_json::json;
use std::net::UdpSocket as StdSocket;
use std::process::{Child, Command, Stdio};

/// A dnsmasq of the test's own, ended when dropped.
struct NameServer {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl NameServer {
    /// None where there is no such program here.
    fn start() -> Option<Self> {
        let port = StdSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let record = |number| format!("txt-record=many.test,\"{}-{number}\"\n", "x".repeat(80));
        let many = (0..40).map(record).collect::<Vec<_>>().concat();
        let config = format!(
            "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nno-daemon\nlocal=/test/\nlocal-ttl=30\n\
             address=/shop.test/10.0.0.7\naddress=/shop.test/10.0.0.8\naddress=/six.test/fd00::7\ncname=www.test,shop.test\n\
             mx-host=shop.test,mail.test,10\nsrv-host=_http._tcp.shop.test,shop.test,8080,5,7\ntxt-record=shop.test,\"v=1\",\"b\"\n\
             ptr-record=7.0.0.10.in-addr.arpa,shop.test\nhost-record=shop.test,10.0.0.7\n{many}"
        );
        let file = folder.path().join("dnsmasq.conf");
        std::fs::write(&file, config).unwrap();
        let process = Command::new("dnsmasq")
            .arg(format!("--conf-file={}", file.display()))
            .args(["--user=", "--pid-file="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { process, address: format!("127.0.0.1:{port}"), _folder: folder })
    }

    fn read(&self, name: &str, record: &str) -> Reading {
        for _ in 0..200 {
            let probe = built::<Dns>(json!({"name": name, "type": record, "server": self.address}));
            match ask(&probe) {
                Ok(reading) => return reading,
                // It is about to begin.
                Err(error) if error.to_string().contains("refused") => {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                Err(error) => panic!("{name} {record}: {error}"),
            }
        }
        panic!("{name} {record}: no server within 10 s");
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_a_real_name_server_answers() {
    let Some(server) = NameServer::start() else {
        println!("skipped: there is no program `dnsmasq` here");
        return;
    };
    for (name, record, answers) in [
        ("shop.test", "A", "10.0.0.7"),
        ("six.test", "AAAA", "fd00::7"),
        ("www.test", "CNAME", "shop.test"),
        ("www.test", "A", "10.0.0.7"),
        ("shop.test", "MX", "10 mail.test"),
        ("_http._tcp.shop.test", "SRV", "5 7 8080 shop.test"),
        ("shop.test", "TXT", "v=1b"),
        ("7.0.0.10.in-addr.arpa", "PTR", "shop.test"),
    ] {
        let reading = server.read(name, record);
        assert_eq!(reading["rcode"], Value::from("NOERROR"), "{name} {record}");
        assert!(reading["answers"].to_string().contains(answers), "{name} {record}: {reading:?}");
        assert_eq!(
            reading["answer.1"].to_string().trim_matches('"').split(", ").next(),
            Some(answers),
            "{reading:?}"
        );
        assert!(
            reading["latency"].number().unwrap() > 0.0
                && reading["server"] == Value::from(server.address.as_str())
        );
    }
    let gone = server.read("no-such.test", "A");
    assert_eq!((&gone["rcode"], &gone["count"]), (&Value::from("NXDOMAIN"), &Value::Number(0.0)));
    assert!(!gone.contains_key("ttl"));
    // Too long for a datagram, so it comes over TCP.
    assert_eq!(server.read("many.test", "TXT")["count"], Value::Number(40.0));
}

/// What comes of asking a server that sends this back for what it is asked; `None` says nothing.
fn asking(reply: impl Fn(Vec<u8>) -> Option<Vec<u8>> + Send + 'static) -> Result<Reading, String> {
    let socket = StdSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(3))).unwrap();
    let server = std::thread::spawn(move || {
        let mut room = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut room) {
            if let Some(reply) = reply(room[..length].to_vec()) {
                socket.send_to(&reply, from).unwrap();
                return;
            }
        }
    });
    let asked = ask(&built::<Dns>(json!({"name": "shop.test", "server": address, "timeout": "300ms"})));
    server.join().unwrap();
    asked.map_err(|error| error.to_string())
}

#[test]
fn what_is_no_answer_is_unknown() {
    let silent = asking(|_| None).unwrap_err();
    assert!(
        silent.contains("no answer within 300ms") && silent.contains("ask for A shop.test at 127"),
        "{silent}"
    );
    assert!(asking(|_| Some(b"hello".to_vec())).unwrap_err().contains("not a message of DNS"));
    let other = asking(|mut asked| {
        asked[0] ^= 1;
        asked[2] |= 0x80;
        Some(asked)
    });
    assert!(other.unwrap_err().contains("no answer within"));
    let failing = asking(|mut asked| {
        asked[2] |= 0x80;
        asked[3] = 2;
        Some(asked)
    });
    assert_eq!(failing.unwrap()["rcode"], Value::from("SERVFAIL"));
    let closed = StdSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = ask(&built::<Dns>(json!({"name": "shop.test", "server": closed}))).unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn servers_are_read_from_the_system() {
    let text = "# a\nsearch test\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n nameserver ::1 # b\noptions rotate\n";
    let servers: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.2:53", "[::1]:53"]);
    assert_eq!(name_servers("")[0].to_string(), "127.0.0.1:53");
    assert!(refusal::<Dns>(json!({"name": "a.test", "server": "dns.test"})).contains("name server"));
    assert!(refusal::<Dns>(json!({"name": "a..test"})).contains("each part"));
    assert!(refusal::<Dns>(json!({"name": "a.test", "type": "ANY"})).contains("ANY"));
}
