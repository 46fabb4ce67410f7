//! A small HTTP server: it answers `{"level": 0}`, and from a chosen instant on `{"level": 1}`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server that ends with the value.
pub(super) struct Server {
    address: SocketAddr,
    level: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Server {
    /// Listens on a free port of the loopback interface.
    pub(super) fn start() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("could not start a server on 127.0.0.1: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (level, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (shown, ended) = (Arc::clone(&level), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let shown = Arc::clone(&shown);
                std::thread::spawn(move || serve(&stream, &shown));
            }
        });
        Ok(Self { address, level, over })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What is answered from now on.
    pub(super) fn set(&self, high: bool) {
        self.level.store(high, Ordering::Release);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the listener, so that it sees its end.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers the requests of one connection until it ends.
fn serve(stream: &TcpStream, level: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        match reader.read_line(&mut line) {
            Ok(length) if length > 0 => {}
            _ => return,
        }
        if line.trim().is_empty() {
            let body = format!(r#"{{"level": {}}}"#, u8::from(level.load(Ordering::Acquire)));
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if (&*stream).write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}
