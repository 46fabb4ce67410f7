//! The options of the queueing disciplines that Squall makes: what stands in `TCA_OPTIONS` for each kind.
//!
//! The kernel counts times in *ticks* of 64 ns where a field is older than 64-bit numbers; shares of packets are parts
//! of 2³²; rates are bytes per second.
//!
//! Sources: `include/uapi/linux/pkt_sched.h`, `net/sched/sch_{netem,tbf,htb,prio,fifo}.c`; tc-netem(8), tc-tbf(8),
//! tc-htb(8), tc-prio(8).

use super::netlink::{Attributes, u32_at};
use super::qdisc::Handle;
use super::{chance, distribution};
use squall_model::step::Distribution;
use std::time::Duration;

/// What a qdisc or class is made from: its kind and its options as the kernel reads and writes them.
/// One that was listed can be kept as bytes and made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discipline {
    /// The kind: `netem`, `tbf`, `htb`, `fq_codel` …
    pub kind: String,
    /// Content of `TCA_OPTIONS`; empty for a kind that has none.
    pub options: Vec<u8>,
}

impl Discipline {
    fn new(kind: &str, options: Attributes) -> Self {
        Self { kind: kind.to_owned(), options: options.into_bytes() }
    }
}

/// Delay, loss and other harm to single packets: `netem`. Shares are from 0 to 1; the default does nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Netem {
    /// Mean delay of a packet.
    pub delay: Duration,
    /// Spread of the delay. Packets whose delays differ overtake each other.
    pub jitter: Duration,
    /// How much a delay resembles the one before.
    pub delay_correlation: f64,
    /// Shape of the spread.
    pub distribution: Distribution,
    /// Share of packets dropped. The sender is not told, as in a real network.
    pub loss: f64,
    /// How much a drop resembles the one before.
    pub loss_correlation: f64,
    /// Share of packets sent twice.
    pub duplicate: f64,
    /// How much being sent twice resembles the one before.
    pub duplicate_correlation: f64,
    /// Share of packets in which one bit is turned over.
    pub corrupt: f64,
    /// How much being damaged resembles the one before.
    pub corrupt_correlation: f64,
    /// Share of packets that skip the delay, and so overtake those before them.
    pub reorder: f64,
    /// How much overtaking resembles the one before.
    pub reorder_correlation: f64,
    /// Of so many packets in a row, one at most skips the delay.
    pub gap: u32,
    /// Rate in bits per second; none for no limit.
    pub rate: Option<u64>,
    /// How many packets are held at most; those beyond are dropped. Must hold the packets of one delay.
    pub limit: u32,
}

impl Default for Netem {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            delay_correlation: 0.0,
            distribution: Distribution::Uniform,
            loss: 0.0,
            loss_correlation: 0.0,
            duplicate: 0.0,
            duplicate_correlation: 0.0,
            corrupt: 0.0,
            corrupt_correlation: 0.0,
            reorder: 0.0,
            reorder_correlation: 0.0,
            // Every packet may be the one that overtakes.
            gap: 1,
            rate: None,
            // The kernel's own default of 1000 would drop packets at 10,000/s and 100 ms, which nobody asked for.
            limit: 100_000,
        }
    }
}

impl Netem {
    /// Whether a netem with these options could have a table of delays, which the kernel does not show. Without
    /// jitter a table has no effect. The last word of `struct tc_netem_qopt` is the jitter in ticks.
    pub(super) fn may_have_a_table(options: &[u8]) -> bool {
        u32_at(options, 20) != Some(0)
    }

    /// `struct tc_netem_qopt`, then attributes for what it has no room for.
    pub fn discipline(&self) -> Discipline {
        const TCA_NETEM_CORR: u16 = 1;
        const TCA_NETEM_DELAY_DIST: u16 = 2;
        const TCA_NETEM_REORDER: u16 = 3;
        const TCA_NETEM_CORRUPT: u16 = 4;
        const TCA_NETEM_RATE: u16 = 6;
        const TCA_NETEM_RATE64: u16 = 8;
        const TCA_NETEM_LATENCY64: u16 = 10;
        const TCA_NETEM_JITTER64: u16 = 11;
        let gap = if self.reorder > 0.0 { self.gap.max(1) } else { 0 };
        let loss = share_in_runs(self.loss, self.loss_correlation);
        let duplicate = share_in_runs(self.duplicate, self.duplicate_correlation);
        let structure = [ticks(self.delay), self.limit, loss, gap, duplicate, ticks(self.jitter)];
        let mut options = Attributes::after(&words(&structure))
            .put(TCA_NETEM_LATENCY64, &nanoseconds(self.delay).to_ne_bytes())
            .put(TCA_NETEM_JITTER64, &nanoseconds(self.jitter).to_ne_bytes());
        let correlations = [self.delay_correlation, self.loss_correlation, self.duplicate_correlation];
        if correlations.iter().any(|correlation| *correlation > 0.0) {
            options = options.put(TCA_NETEM_CORR, &words(&correlations.map(share)));
        }
        for (kind, part, correlation) in [
            (TCA_NETEM_REORDER, self.reorder, self.reorder_correlation),
            (TCA_NETEM_CORRUPT, self.corrupt, self.corrupt_correlation),
        ] {
            if part > 0.0 {
                let structure = [share_in_runs(part, correlation), share(correlation)];
                options = options.put(kind, &words(&structure));
            }
        }
        if let Some(rate) = self.rate {
            let (overhead, cell_size, cell_overhead) = (0, 0, 0);
            let structure = [bytes_per_second_32(rate), overhead, cell_size, cell_overhead];
            options = options.put(TCA_NETEM_RATE, &words(&structure));
            if bytes_per_second_32(rate) == u32::MAX {
                options = options.put(TCA_NETEM_RATE64, &(rate / 8).to_ne_bytes());
            }
        }
        if let (false, Some(table)) = (self.jitter.is_zero(), distribution::table(self.distribution)) {
            let bytes: Vec<u8> = table.into_iter().flat_map(i16::to_ne_bytes).collect();
            options = options.put(TCA_NETEM_DELAY_DIST, &bytes);
        }
        Discipline::new("netem", options)
    }
}

/// A limit on the rate: a token bucket, `tbf`. Large packets of offloading network cards are cut up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tbf {
    /// Sustained rate in bits per second.
    pub rate: u64,
    /// Bytes that may pass at once. Packets longer than this never pass, so it must be at least
    /// [`smallest_burst`] of the link.
    pub burst: u32,
    /// Longest time that a packet waits; those that would wait longer are dropped.
    pub queue: Duration,
}

/// The least burst that lets every packet of a link pass, in bytes, for the link's MTU.
pub fn smallest_burst(mtu: u32) -> u32 {
    const LONGEST_LINK_HEADER: u32 = 32; // Ethernet with two VLAN tags has 22.
    mtu.saturating_add(LONGEST_LINK_HEADER)
}

impl Tbf {
    /// `TCA_TBF_PARMS` with `struct tc_tbf_qopt`.
    pub fn discipline(&self) -> Discipline {
        const TCA_TBF_PARMS: u16 = 1;
        const TCA_TBF_RATE64: u16 = 4;
        const TCA_TBF_BURST: u16 = 6;
        let no_peak = [0; RATE_SPECIFICATION];
        let mtu_of_peak = 0;
        let numbers = [self.held(), ticks(transmission_time(self.rate, self.burst)), mtu_of_peak];
        let structure = [&rate_specification(self.rate)[..], &no_peak, &words(&numbers)].concat();
        let mut options = Attributes::new().put(TCA_TBF_PARMS, &structure).put_u32(TCA_TBF_BURST, self.burst);
        if bytes_per_second_32(self.rate) == u32::MAX {
            options = options.put(TCA_TBF_RATE64, &(self.rate / 8).to_ne_bytes());
        }
        Discipline::new("tbf", options)
    }

    /// How many bytes it holds at most: what passes in the longest wait, and a burst.
    fn held(&self) -> u32 {
        let queued = self.rate as f64 / 8.0 * self.queue.as_secs_f64();
        (queued as u32).saturating_add(self.burst)
    }
}

/// Bands of which each is served only when those before are empty: `prio`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prio {
    /// How many bands, 2 to 16. Band 0 is class `:1`.
    pub bands: u32,
    /// The band of packets that no filter picks, by their priority.
    pub band_of_priority: [u8; 16],
}

impl Prio {
    /// `struct tc_prio_qopt`.
    pub fn discipline(&self) -> Discipline {
        let structure = [&self.bands.to_ne_bytes()[..], &self.band_of_priority].concat();
        Discipline::new("prio", Attributes::after(&structure))
    }
}

/// Classes with a rate each: `htb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Htb {
    /// Minor number of the class for packets that no filter picks; 0 lets them pass without a limit.
    pub default_class: u16,
    /// How many packets that pass without a limit are held when the link is busy.
    pub unlimited_queue: u32,
}

impl Htb {
    /// `TCA_HTB_INIT` with `struct tc_htb_glob`.
    pub fn discipline(&self) -> Discipline {
        const TCA_HTB_INIT: u16 = 2;
        const TCA_HTB_DIRECT_QLEN: u16 = 5;
        let (version, rate_to_quantum, debug, direct_packets) = (3, 10, 0, 0);
        let structure = [version, rate_to_quantum, u32::from(self.default_class), debug, direct_packets];
        let options = Attributes::new()
            .put(TCA_HTB_INIT, &words(&structure))
            .put_u32(TCA_HTB_DIRECT_QLEN, self.unlimited_queue);
        Discipline::new("htb", options)
    }
}

/// A class of [`Htb`] that holds nothing back by itself: what hangs on it does.
pub fn open_class() -> Discipline {
    const TCA_HTB_PARMS: u16 = 1;
    const TCA_HTB_RATE64: u16 = 6;
    const TCA_HTB_CEIL64: u16 = 7;
    /// Bits per second; faster than any link.
    const RATE: u64 = 10_000_000_000_000;
    /// Bytes that may pass at once.
    const BURST: u32 = 64 << 20;
    // How much one class sends before it is another's turn. What the kernel computes is out of its own bounds for very
    // high rates, and it complains of that in its log.
    const QUANTUM: u32 = 60_000;
    let burst = ticks(transmission_time(RATE, BURST));
    let (level, priority) = (0, 0);
    let specification = rate_specification(RATE);
    let numbers = words(&[burst, burst, QUANTUM, level, priority]);
    let structure = [&specification[..], &specification, &numbers].concat();
    let rate = (RATE / 8).to_ne_bytes();
    let options = Attributes::new()
        .put(TCA_HTB_PARMS, &structure)
        .put(TCA_HTB_RATE64, &rate)
        .put(TCA_HTB_CEIL64, &rate);
    Discipline::new("htb", options)
}

/// A plain queue of so many packets: `pfifo`.
pub fn packet_fifo(packets: u32) -> Discipline {
    Discipline::new("pfifo", Attributes::after(&packets.to_ne_bytes()))
}

/// What is done to packets, as the user knows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Treatment {
    /// Delay and loss.
    Netem(Netem),
    /// A limit on the rate.
    Bandwidth(Tbf),
}

impl Treatment {
    /// The qdisc that treats every packet.
    pub fn discipline(&self) -> Discipline {
        match self {
            Self::Netem(netem) => netem.discipline(),
            Self::Bandwidth(tbf) => tbf.discipline(),
        }
    }
}

/// The class whose packets are treated, where only some are: minor number 2 of the qdisc at the root.
pub fn treated_class(root: Handle) -> Handle {
    Handle::new(root.major(), 2)
}

/// Size of `struct tc_ratespec`.
const RATE_SPECIFICATION: usize = 12;

/// `struct tc_ratespec`. With the link layer named as Ethernet the kernel needs no table of transmission times.
fn rate_specification(rate: u64) -> [u8; RATE_SPECIFICATION] {
    const TC_LINKLAYER_ETHERNET: u8 = 1;
    let mut structure = [0; RATE_SPECIFICATION];
    structure[1] = TC_LINKLAYER_ETHERNET;
    structure[8..].copy_from_slice(&bytes_per_second_32(rate).to_ne_bytes());
    structure
}

/// Bytes per second for a field of 32 bits; all ones mean that the rate stands in a 64-bit attribute.
fn bytes_per_second_32(rate: u64) -> u32 {
    u32::try_from(rate / 8).unwrap_or(u32::MAX)
}

fn transmission_time(rate: u64, bytes: u32) -> Duration {
    Duration::from_nanos((f64::from(bytes) * 8e9 / rate.max(1) as f64) as u64)
}

/// A time in ticks of 64 ns, 275 s at most.
fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_nanos() / 64).unwrap_or(u32::MAX)
}

/// A time in the kernel's signed 64-bit nanoseconds.
fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// A share as a part of 2³².
fn share(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(u32::MAX)).round() as u32
}

/// A share of packets that are struck in runs, as netem must be told it.
fn share_in_runs(part: f64, correlation: f64) -> u32 {
    share(chance::bound(part, correlation))
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}
