//! The tests' own measuring tools: packets sent, counted and timed by sockets of both ends.

use crate::lab::{Lab, Net};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How long is waited for a packet that should not come.
const PATIENCE: Duration = Duration::from_millis(120);

/// The address of an end of the lab's cable.
pub(crate) fn address(v6: bool, last: u8, port: u16) -> SocketAddr {
    let ip: IpAddr =
        if v6 { format!("fd09::{last}").parse().unwrap() } else { IpAddr::from([10, 9, 0, last]) };
    SocketAddr::new(ip, port)
}

/// Sends until something arrives: a new cable needs a moment, and so does IPv6.
pub(crate) fn wait_until_reachable(here: &Net, there: &Net, to: SocketAddr) {
    let receiver = there.inside(|| UdpSocket::bind(to).unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(25))).unwrap();
    let from =
        SocketAddr::new(if to.is_ipv6() { "::".parse().unwrap() } else { "0.0.0.0".parse().unwrap() }, 0);
    let sender = here.inside(|| UdpSocket::bind(from).unwrap());
    let arrives = |_| {
        let _ = sender.send_to(&[0], to);
        receiver.recv(&mut [0; 8]).is_ok()
    };
    assert!((0..200).any(arrives), "{to} cannot be reached");
}

/// Two sockets, of which the first sends to the second.
pub(crate) struct Flow {
    pub(crate) sender: UdpSocket,
    pub(crate) receiver: UdpSocket,
}

impl Flow {
    /// From the lab's one end to the other's port; `outgoing` from here to there.
    pub(crate) fn new(lab: &Lab, outgoing: bool, v6: bool, port: u16) -> Self {
        let (source, target, from, to) =
            if outgoing { (&lab.here, &lab.there, 1, 2) } else { (&lab.there, &lab.here, 2, 1) };
        let receiver = target.inside(|| UdpSocket::bind(address(v6, to, port)).unwrap());
        let sender = source.inside(|| UdpSocket::bind(address(v6, from, 0)).unwrap());
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { sender, receiver }
    }

    /// Whether a packet arrives. One that does not is sent again, so that chance is no cause.
    pub(crate) fn passes(&self) -> bool {
        (0..2).any(|_| {
            let _ = self.sender.send(b"?");
            self.receiver.recv(&mut [0; 8]).is_ok()
        })
    }

    /// How many of so many packets arrive. All must be sent without an error.
    pub(crate) fn arrived(&self, count: usize) -> usize {
        const AT_ONCE: usize = 100; // Fewer than the receiver's buffer holds.
        let mut arrived = 0;
        for done in (0..count).step_by(AT_ONCE) {
            let batch = AT_ONCE.min(count - done);
            (0..batch).for_each(|_| assert_eq!(self.sender.send(&[0; 100]).unwrap(), 100));
            // A word that the batch is over would be lost itself; on a cable of this machine all is there at once.
            self.receiver.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            arrived += (0..batch).map_while(|_| self.receiver.recv(&mut [0; 200]).ok()).count();
        }
        // Stragglers.
        self.receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        arrived + std::iter::from_fn(|| self.receiver.recv(&mut [0; 200]).ok()).count()
    }
}

/// Sends packets in batches, which begin with their numbers, and gives what arrives of each batch, in that order.
pub(crate) fn batches(flow: &Flow, count: usize, length: usize, patience: Duration) -> Vec<Vec<Vec<u8>>> {
    const AT_ONCE: usize = 40; // So few that the receiver's buffer holds each twice.
    flow.receiver.set_read_timeout(Some(patience)).unwrap();
    let batch = |first: usize| {
        for number in first..count.min(first + AT_ONCE) {
            assert_eq!(flow.sender.send(&numbered(number, length)).unwrap(), length);
        }
        let mut buffer = [0; 2000];
        std::iter::from_fn(|| flow.receiver.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()))
            .collect()
    };
    (0..count).step_by(AT_ONCE).map(batch).collect()
}

/// A packet with a number.
pub(crate) fn numbered(number: usize, length: usize) -> Vec<u8> {
    let mut packet = vec![0x5a; length];
    packet[..8].copy_from_slice(&(number as u64).to_be_bytes());
    packet
}

/// The number of a packet.
pub(crate) fn number_of(packet: &[u8]) -> usize {
    u64::from_be_bytes(packet[..8].try_into().unwrap()) as usize
}

/// A socket that sees all frames at an end as they are on the cable, whatever is wrong with them.
pub(crate) fn wire(net: &Net) -> UdpSocket {
    const ALL: u16 = 3; // ETH_P_ALL
    let protocol = rustix::net::Protocol::from_raw(u32::from(ALL.to_be()).try_into().unwrap());
    let (family, kind) = (rustix::net::AddressFamily::PACKET, rustix::net::SocketType::RAW);
    let socket = UdpSocket::from(net.inside(|| rustix::net::socket(family, kind, Some(protocol)).unwrap()));
    socket.set_nonblocking(true).unwrap();
    socket
}

/// What became of an attempt to connect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Connected,
    Refused,
    NoAnswer,
}

/// Tries to connect from one end to the other's port, where somebody listens; `outgoing` from here to there.
pub(crate) fn connect(lab: &Lab, outgoing: bool, v6: bool, port: u16) -> Attempt {
    let (source, target, to) = if outgoing { (&lab.here, &lab.there, 2) } else { (&lab.there, &lab.here, 1) };
    let to = address(v6, to, port);
    let _listener = target.inside(|| TcpListener::bind(to).unwrap());
    match source.inside(|| TcpStream::connect_timeout(&to, Duration::from_millis(300))) {
        Ok(_) => Attempt::Connected,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Attempt::Refused,
        Err(error) if error.kind() == ErrorKind::TimedOut => Attempt::NoAnswer,
        Err(error) => panic!("{error}"),
    }
}

/// One packet's way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    /// How much too late the sender's timer woke it.
    pub(crate) late: Duration,
    /// How long it was on its way; none for one that was lost.
    pub(crate) took: Option<Duration>,
}

/// How long each packet takes; none for one that was lost.
pub(crate) fn delays(flow: &Flow, count: usize, spacing: Duration) -> Vec<Option<Duration>> {
    timed(flow, count, spacing).into_iter().map(|packet| packet.took).collect()
}

/// Sends packets at a steady pace and times each.
pub(crate) fn timed(flow: &Flow, count: usize, spacing: Duration) -> Vec<Timed> {
    let start = Instant::now();
    let receiver = flow.receiver.try_clone().unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    std::thread::scope(|scope| {
        let arrivals = scope.spawn(move || {
            let mut arrivals = Vec::new();
            let mut buffer = [0; 16];
            while receiver.recv(&mut buffer).is_ok_and(|length| length == 16) {
                let number = u64::from_ne_bytes(buffer[..8].try_into().unwrap());
                let sent = Duration::from_nanos(u64::from_ne_bytes(buffer[8..].try_into().unwrap()));
                arrivals.push((number as usize, start.elapsed().saturating_sub(sent)));
            }
            arrivals
        });
        let mut packets = Vec::new();
        for number in 0..count {
            let (due, before) = (spacing * number as u32, start.elapsed());
            std::thread::sleep(due.saturating_sub(before));
            let now = start.elapsed();
            let packet = [(number as u64).to_ne_bytes(), (now.as_nanos() as u64).to_ne_bytes()].concat();
            flow.sender.send(&packet).unwrap();
            packets.push(Timed { late: now.saturating_sub(due.max(before)), took: None });
        }
        for (number, took) in arrivals.join().unwrap() {
            packets[number].took = Some(took);
        }
        packets
    })
}

/// The range in which a share of so many independent packets lies in all but one of a million runs: five standard
/// deviations of a binomial distribution.
pub(crate) fn binomial(count: usize, share: f64) -> std::ops::RangeInclusive<usize> {
    let mean = count as f64 * share;
    let five = 5.0 * (mean * (1.0 - share)).sqrt();
    (mean - five).floor().max(0.0) as usize..=(mean + five).ceil() as usize
}
