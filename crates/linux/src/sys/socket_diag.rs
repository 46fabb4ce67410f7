//! The TCP sockets of a network namespace, as `ss` shows them, over `NETLINK_SOCK_DIAG`.
//!
//! A question names a family, a protocol and a set of states; each answer is a `struct inet_diag_msg`. A socket is told
//! from others by its inode, which `/proc/PID/fd/*` shows as `socket:[INODE]` for the processes that hold it.
//!
//! Sources: `sock_diag(7)`, `include/uapi/linux/inet_diag.h`, `include/net/tcp_states.h`.

use super::netlink::{Message, Protocol, Reply, Result, Socket, array_at, u32_at};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const ALL_STATES: u32 = u32::MAX;
/// Size of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;

/// State of a TCP socket, as RFC 9293 names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the documentation: RFC 9293, section 3.3.2")]
pub enum TcpState {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Closed,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

impl TcpState {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynReceived, // 12: a connection request that has no socket of its own yet.
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Closed,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => return None,
        })
    }
}

/// A TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpSocket {
    /// Its state.
    pub state: TcpState,
    /// The near end. An IPv4 address on an IPv6 socket is given as IPv4.
    pub local: SocketAddr,
    /// The far end; all zero for a socket that listens.
    pub remote: SocketAddr,
    /// Its inode, 0 if no process holds it any longer.
    pub inode: u32,
    /// User who made it.
    pub user: u32,
}

/// Lists the TCP sockets of the current network namespace, whoever they belong to.
pub fn tcp_sockets() -> Result<Vec<TcpSocket>> {
    let mut socket = Socket::open(Protocol::SocketDiagnosis)?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut request = [0; REQUEST];
        request[0] = family as u8;
        request[1] = libc::IPPROTO_TCP as u8;
        request[4..8].copy_from_slice(&ALL_STATES.to_ne_bytes());
        match socket.dump("list the TCP sockets", &Message::new(SOCK_DIAG_BY_FAMILY, 0, &request)) {
            Ok(replies) => found.extend(replies.iter().filter_map(tcp_socket)),
            Err(error) if family == libc::AF_INET6 && error.errno() == Some(Errno::NOENT) => {} // No IPv6.
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Reads `struct inet_diag_msg`: family, state, timer, retransmissions; ports and addresses in network order; …
fn tcp_socket(reply: &Reply) -> Option<TcpSocket> {
    let bytes = &reply.payload;
    let port = |offset| array_at(bytes, offset).map(u16::from_be_bytes);
    let address = |offset| match i32::from(*bytes.first()?) {
        libc::AF_INET => array_at::<4>(bytes, offset).map(|octets| IpAddr::from(Ipv4Addr::from(octets))),
        libc::AF_INET6 => array_at::<16>(bytes, offset).map(|octets| Ipv6Addr::from(octets).to_canonical()),
        _ => None,
    };
    Some(TcpSocket {
        state: TcpState::from_number(*bytes.get(1)?)?,
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
        user: u32_at(bytes, 64)?,
        inode: u32_at(bytes, 68)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn inode(socket: &impl AsRawFd) -> u32 {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        link.to_string_lossy().trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap()
    }

    #[test]
    fn ones_own_sockets_are_listed_with_both_ends() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                println!("skipped: this machine has no {address}");
                continue;
            };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            let sockets = tcp_sockets().unwrap();
            let of = |inode| *sockets.iter().find(|socket| socket.inode == inode).unwrap();
            let listening = of(inode(&listener));
            assert_eq!(
                (listening.state, listening.local),
                (TcpState::Listen, listener.local_addr().unwrap())
            );
            for stream in [&client, &server] {
                let found = of(inode(stream));
                assert_eq!(found.state, TcpState::Established);
                assert_eq!(found.local, stream.local_addr().unwrap());
                assert_eq!(found.remote, stream.peer_addr().unwrap());
                assert_eq!(found.user, rustix::process::geteuid().as_raw());
            }
        }
    }

    #[test]
    fn an_ipv4_connection_of_an_ipv6_socket_is_shown_as_ipv4() {
        let Ok(listener) = TcpListener::bind("[::]:0") else {
            println!("skipped: this machine has no IPv6");
            return;
        };
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        let sockets = tcp_sockets().unwrap();
        let found = sockets.iter().find(|socket| socket.inode == inode(&server)).unwrap();
        assert_eq!(found.remote, client.local_addr().unwrap());
        assert_eq!(found.local, client.peer_addr().unwrap());
    }
}
