//! What stands between the program and an API server, for tests of a server that is away.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What stands between a client and the API server, and can be away for a while.
pub(crate) struct Between {
    pub(crate) is_away: Arc<AtomicBool>,
}

impl Between {
    /// Stands before a server, and writes settings that lead to it: `settings` by way of another address.
    pub(crate) fn before(server: &str, settings: &Path, written: &Path) -> Self {
        let real = server.rsplit('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let is_away = Arc::new(AtomicBool::new(false));
        let away = Arc::clone(&is_away);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&real) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let away = Arc::clone(&away);
                    std::thread::spawn(move || carry(from, to, &away));
                }
            }
        });
        fs::write(written, settings_by_way_of(settings, server, &address)).unwrap();
        Self { is_away }
    }
}

/// Carries bytes until either end is gone, or whoever carries them is away.
fn carry(mut from: TcpStream, mut to: TcpStream, is_away: &AtomicBool) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if is_away.load(Ordering::Relaxed) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
}

/// The same settings, by way of another address.
fn settings_by_way_of(kubeconfig: &Path, server: &str, address: &str) -> String {
    let text = fs::read_to_string(kubeconfig).unwrap();
    let host = server.rsplit('/').next().unwrap();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    text.replace(&format!("\"{server}\""), &format!("\"https://{address}\", tls-server-name: \"{name}\""))
}
