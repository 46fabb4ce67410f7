//! `NetworkChaos`: packets that come late, twice, damaged or not at all.
//!
//! Chaos Mesh shapes what leaves: with `direction: to` that of the selected pods towards the targets, with `from` that of the
//! targets towards the selected pods, with `both` either. So does Squall, by a fault on each side that sends. What one
//! side alone can do (a partition, a loss without runs) is one fault on the selected pods.

use super::super::ReadError;
use super::super::fields::Fields;
use super::form::Translator;
use super::make::{self, Entries, entry};
use super::selector::Pods;
use super::{Chaos, Kind, Strike, go};
use crate::node::{Content, Key, Node, Place};
use crate::step::Prefix;

/// See the module.
pub(super) const KIND: Kind = Kind { name: "NetworkChaos", embedded: "networkChaos", read };

const ACTIONS: [&str; 7] = ["netem", "delay", "loss", "duplicate", "corrupt", "partition", "bandwidth"];
const DIRECTIONS: [&str; 3] = ["to", "from", "both"];
/// The interface that every pod has.
const USUAL_DEVICE: &str = "eth0";
/// As long as `network.bandwidth` may hold a packet back, in nanoseconds.
const LONGEST_QUEUE: u128 = 60_000_000_000;

/// Something that is done to packets.
struct Harm {
    fault: &'static str,
    /// The key that says it in a manifest.
    key: &'static str,
    with: Entries,
    /// Whose the correlation is, where several harms are done at once.
    whose: &'static str,
}

/// Which way, and between whom.
struct Ways {
    selected: Pods,
    direction: &'static str,
    direction_place: Place,
    targets: Option<Pods>,
    external: Vec<Node>,
}

fn read(translator: &mut Translator<'_>, fields: &mut Fields<'_>) -> Option<Chaos> {
    let action = translator
        .required(fields, "action", "what is done to packets")
        .and_then(|node| Some((translator.word(node, "action", &ACTIONS)?, node.place)));
    let harms = translator.harms(fields);
    let ways = translator.ways(fields, action.map(|(action, _)| action));
    for name in ["device", "targetDevice"] {
        translator.device(fields, name);
    }
    let ((action, place), ways) = action.zip(ways)?;
    let harms = translator.harms_of(action, place, harms?, fields)?;
    let strikes = match action {
        "partition" => vec![ways.partition(place)],
        _ => translator.shaped(&ways, &harms, place)?,
    };
    Some(Chaos { strikes, once: false, lasts: None })
}

impl<'r> Translator<'r> {
    /// All that is said of packets; nothing where a part of it is wrong.
    fn harms(&mut self, fields: &mut Fields<'_>) -> Option<Vec<Harm>> {
        type Read<'r> = fn(&mut Translator<'r>, &Node) -> Option<Harm>;
        let readers: [(&'static str, Read<'r>); 6] = [
            ("delay", Self::delay),
            ("loss", |this, node| this.share(node, ["loss", "network.loss", "loss"])),
            ("duplicate", |this, node| this.share(node, ["duplicate", "network.duplicate", "duplicate"])),
            ("corrupt", |this, node| this.share(node, ["corrupt", "network.corrupt", "corrupt"])),
            ("rate", Self::rate_of_netem),
            ("bandwidth", Self::bandwidth),
        ];
        let found: Vec<Option<Harm>> =
            readers.iter().filter_map(|(name, read)| fields.get(name).map(|node| read(self, node))).collect();
        found.into_iter().collect()
    }

    /// The harms that the action does, among those that are said.
    fn harms_of(
        &mut self,
        action: &'static str,
        place: Place,
        harms: Vec<Harm>,
        fields: &Fields<'_>,
    ) -> Option<Vec<Harm>> {
        let is_netem = !matches!(action, "partition" | "bandwidth");
        let (meant, others): (Vec<Harm>, Vec<Harm>) = harms.into_iter().partition(|harm| match action {
            "partition" => false,
            "bandwidth" => harm.key == "bandwidth",
            _ => harm.key != "bandwidth",
        });
        for harm in others {
            self.note(format!(
                "`{}` means nothing with `action: {action}`; Chaos Mesh passes over it, and so does Squall",
                harm.key
            ));
        }
        let is_there = meant.iter().any(|harm| harm.key == action);
        if action == "partition" || is_there || (action == "netem" && !meant.is_empty()) {
            return Some(meant);
        }
        let message = match action {
            "netem" => "one of `delay`, `loss`, `duplicate`, `corrupt` and `rate` is missing".to_owned(),
            _ => format!("`{action}` is missing: how packets are harmed"),
        };
        let error = ReadError::at(if is_netem || is_there { place } else { fields.place }, message);
        self.error(error.label("needs it"));
        None
    }

    fn delay(&mut self, node: &Node) -> Option<Harm> {
        let mut fields = self.reader.fields(node, "`delay`")?;
        let delay = self.required(&mut fields, "latency", "how much later").and_then(|node| self.span(node));
        let jitter = fields.get("jitter").filter(|node| !super::form::is_blank(node)).map(|node| {
            let nanoseconds = self.nanoseconds(node)?;
            if nanoseconds < 0 {
                self.error(ReadError::at(node.place, "a jitter cannot be negative"));
                return None;
            }
            Some((nanoseconds, node.place))
        });
        let correlation = self.correlation(&mut fields, "correlation");
        let reorder = fields.get("reorder").map(|node| self.reorder(node));
        fields.finish(&mut self.reader);
        let mut with = vec![entry("delay", delay?.node())];
        if let Some((nanoseconds, place)) =
            jitter.unwrap_or(Some((0, node.place))).filter(|(jitter, _)| *jitter > 0)
        {
            with.push(entry("jitter", make::text(go::duration(nanoseconds), place)));
        }
        match reorder {
            None => with.extend(correlation),
            Some(reorder) => {
                with.extend(
                    correlation
                        .map(|(key, node)| (Key { name: "delay_correlation".to_owned(), ..key }, node)),
                );
                with.extend(reorder?);
                return Some(Harm { fault: "network.reorder", key: "delay", with, whose: "reorder" });
            }
        }
        Some(Harm { fault: "network.latency", key: "delay", with, whose: "delay" })
    }

    fn reorder(&mut self, node: &Node) -> Option<Entries> {
        let mut fields = self.reader.fields(node, "`reorder`")?;
        let share = self
            .required(&mut fields, "reorder", "the share of packets that overtake others")
            .and_then(|node| Some((self.percent(node)?, node.place)));
        let correlation = self.correlation(&mut fields, "correlation");
        let gap = self
            .required(&mut fields, "gap", "each how many packets one may overtake")
            .and_then(|node| Some((self.whole(node, 0, i64::from(u32::MAX))?, node.place)));
        fields.finish(&mut self.reader);
        let ((share, place), (gap, gap_place)) = share.zip(gap)?;
        let mut with = vec![entry("reorder", make::percent(share, place))];
        with.extend(correlation);
        if gap > 0 {
            with.push(entry("gap", make::whole(gap, gap_place)));
        }
        Some(with)
    }

    /// A share of packets with its correlation: the key, the fault and its parameter.
    fn share(&mut self, node: &Node, [key, fault, parameter]: [&'static str; 3]) -> Option<Harm> {
        let mut fields = self.reader.fields(node, &format!("`{key}`"))?;
        let share = self
            .required(&mut fields, parameter, "the share of packets, in percent")
            .and_then(|node| Some((self.percent(node)?, node.place)));
        let correlation = self.correlation(&mut fields, "correlation");
        fields.finish(&mut self.reader);
        let (share, place) = share?;
        let mut with = vec![entry(parameter, make::percent(share, place))];
        with.extend(correlation);
        Some(Harm { fault, key, with, whose: parameter })
    }

    fn rate(&mut self, fields: &mut Fields<'_>) -> Option<(Node, u128)> {
        let node = self.required(fields, "rate", "how much may pass each second")?;
        let text = self.text(node)?;
        let Some((ours, bits)) = go::rate(&text).filter(|(_, bits)| *bits > 0) else {
            let message = format!("{text:?} is no rate: a whole number and a unit");
            self.error(ReadError::at(node.place, message).help(
                "such as 1mbit or 100kbps: bit, kbit, mbit, gbit, tbit count bits, and bps, kbps, mbps, gbps, tbps bytes",
            ));
            return None;
        };
        Some((make::text(ours, node.place), bits))
    }

    fn rate_of_netem(&mut self, node: &Node) -> Option<Harm> {
        let mut fields = self.reader.fields(node, "`rate`")?;
        let rate = self.rate(&mut fields);
        fields.finish(&mut self.reader);
        let with = vec![entry("rate", rate?.0)];
        Some(Harm { fault: "network.bandwidth", key: "rate", with, whose: "" })
    }

    fn bandwidth(&mut self, node: &Node) -> Option<Harm> {
        let mut fields = self.reader.fields(node, "`bandwidth`")?;
        let rate = self.rate(&mut fields);
        let most = i64::from(u32::MAX);
        let limit = self
            .required(&mut fields, "limit", "how many bytes may wait")
            .and_then(|node| Some((self.whole(node, 1, most)?, node.place)));
        let buffer = self
            .required(&mut fields, "buffer", "how many bytes may pass at once")
            .and_then(|node| Some((self.whole(node, 1, most)?, node.place)));
        let peak = self.optional_whole(&mut fields, "peakrate", (0, i64::MAX));
        let burst = self.optional_whole(&mut fields, "minburst", (0, most));
        fields.finish(&mut self.reader);
        if peak.or(burst).is_some() {
            self.note(
                "`peakrate` and `minburst` are passed over: a burst leaves as fast as the interface can",
            );
        }
        let (((rate, bits), (limit, limit_place)), (buffer, buffer_place)) = rate.zip(limit).zip(buffer)?;
        let queue = self.queue(limit.unsigned_abs().into(), buffer.unsigned_abs().into(), bits);
        let with = vec![
            entry("rate", rate),
            entry("burst", make::text(format!("{buffer}B"), buffer_place)),
            entry("queue", make::text(queue, limit_place)),
        ];
        Some(Harm { fault: "network.bandwidth", key: "bandwidth", with, whose: "" })
    }

    /// How long a packet waits at most, from how many bytes may wait, the burst among them.
    fn queue(&mut self, limit: u128, buffer: u128, bits: u128) -> String {
        let waiting = if limit > buffer {
            limit - buffer
        } else {
            self.note(format!(
                "a queue of {limit} bytes is no longer than the burst of {buffer}: Chaos Mesh drops every packet that is longer \
                 than the queue, Squall lets as much wait beside the burst"
            ));
            limit
        };
        let nanoseconds = (waiting * 8 * 1_000_000_000 / bits).max(1);
        if nanoseconds > LONGEST_QUEUE {
            self.note("a queue of this `limit` would hold packets back for more than a minute; Squall drops them after one");
        }
        go::duration(nanoseconds.min(LONGEST_QUEUE).cast_signed())
    }

    /// Network faults of Squall strike every interface of a pod.
    fn device(&mut self, fields: &mut Fields<'_>, name: &str) {
        let Some(node) = self.optional_text(fields, name) else { return };
        let Content::Text(device) = &node.content else { return };
        if device.split('@').next() != Some(USUAL_DEVICE) {
            let message = format!("`{name}`: Squall strikes every interface of a pod and cannot name one");
            let error = ReadError::at(node.place, message).label("cannot be honoured");
            self.error(
                error.help("leave it away, or say whose packets are meant by `target` or `externalTargets`"),
            );
        }
    }

    fn ways(&mut self, fields: &mut Fields<'_>, action: Option<&str>) -> Option<Ways> {
        let selected = self.pods(fields);
        let node = fields.get("direction").filter(|node| !super::form::is_blank(node));
        let direction_place = node.map_or(fields.place, |node| node.place);
        let direction = node.map_or(Some("to"), |node| self.word(node, "direction", &DIRECTIONS));
        let targets = fields.get("target").map(|node| {
            let mut fields = self.reader.fields(node, "`target`")?;
            let pods = self.pods(&mut fields);
            fields.finish(&mut self.reader);
            pods
        });
        let external: Vec<Option<Node>> =
            self.optional_texts(fields, "externalTargets").iter().map(|node| self.external(node)).collect();
        let direction = direction?;
        let is_shaped = action.is_some_and(|action| action != "partition");
        if is_shaped && direction != "to" {
            if !external.is_empty() {
                let message = format!(
                    "`direction: {direction}` would shape what external targets send, which nobody here can"
                );
                self.error(
                    ReadError::at(direction_place, message)
                        .help("with `externalTargets`, say `direction: to`"),
                );
                return None;
            }
            if targets.is_none() {
                let message = format!("`direction: {direction}` needs a `target`: the pods that send");
                self.error(
                    ReadError::at(direction_place, message).help("add `target`, or say `direction: to`"),
                );
                return None;
            }
        }
        let targets = match targets {
            Some(targets) => Some(targets?),
            None => None,
        };
        let external = external.into_iter().collect::<Option<Vec<Node>>>()?;
        Some(Ways { selected: selected?, direction, direction_place, targets, external })
    }

    /// An address, a CIDR or a name, with a port or without.
    fn external(&mut self, node: &Node) -> Option<Node> {
        let Content::Text(text) = &node.content else { return None };
        let is_bare_address = text.parse::<Prefix>().is_ok();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !is_bare_address => {
                (host.trim_start_matches('[').trim_end_matches(']'), Some(port))
            }
            _ => (text.as_str(), None),
        };
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        let is_name = host.bytes().any(|byte| byte.is_ascii_alphabetic())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if (is_name || host.parse::<Prefix>().is_ok()) && port.is_none_or(is_port) {
            return Some(node.clone());
        }
        let message =
            format!("{text:?} is neither an address, a CIDR nor a host name, with a port or without");
        self.error(
            ReadError::at(node.place, message)
                .help("such as 10.0.0.7, 10.0.0.0/24, db.internal or 10.0.0.7:5432"),
        );
        None
    }

    /// The faults on the sides that send.
    fn shaped(&mut self, ways: &Ways, harms: &[Harm], place: Place) -> Option<Vec<Strike>> {
        let (fault, with) = together(harms);
        let strike = |on: &Pods, mut with: Entries, filter: Option<(Key, Node)>| {
            with.extend(filter);
            Strike { fault, place, target: on.node(), with }
        };
        let Some(targets) = ways.targets.as_ref().filter(|_| ways.direction != "to") else {
            return Some(vec![strike(&ways.selected, with, ways.others("destination"))]);
        };
        let from = |with| {
            strike(targets, with, Some(entry("destination", make::list(vec![ways.selected.node()], place))))
        };
        if ways.direction == "from" {
            return Some(vec![from(with)]);
        }
        if fault == "network.loss" && !with.iter().any(|(key, _)| key.name == "correlation") {
            let mut with = with;
            with.push(entry("direction", make::text("both", ways.direction_place)));
            return Some(vec![strike(&ways.selected, with, ways.others("destination"))]);
        }
        if !(ways.selected.all && targets.all) {
            let message = "`direction: both` is a fault on either side, and each would choose its pods anew";
            let error = ReadError::at(ways.direction_place, message).label("cannot be honoured");
            self.error(
                error.help("say `mode: all` for both sides and name the pods, or choose one direction"),
            );
            return None;
        }
        let to = strike(&ways.selected, with.clone(), ways.others("destination"));
        Some(vec![to, from(with)])
    }
}

impl Ways {
    /// The pods and hosts on the other side, as a filter; none for everybody.
    fn others(&self, filter: &str) -> Option<(Key, Node)> {
        let pods = self.targets.iter().map(Pods::node);
        let all: Vec<Node> = pods.chain(self.external.iter().cloned()).collect();
        let place = all.first()?.place;
        Some(entry(filter, make::list(all, place)))
    }

    /// A cut at the selected pods: what they do not send, or are not sent, is cut for the other side as well.
    fn partition(&self, place: Place) -> Strike {
        let (direction, filter) = match self.direction {
            "to" => ("out", "destination"),
            "from" => ("in", "source"),
            _ => ("both", "destination"),
        };
        let direction = entry("direction", make::text(direction, self.direction_place));
        let with = [direction].into_iter().chain(self.others(filter)).collect();
        Strike { fault: "network.partition", place, target: self.selected.node(), with }
    }
}

/// The one fault that does all of these.
fn together(harms: &[Harm]) -> (&'static str, Entries) {
    if let [harm] = harms {
        return (harm.fault, harm.with.clone());
    }
    let with = harms.iter().flat_map(|harm| {
        harm.with.iter().map(|(key, node)| {
            let name = match key.name.as_str() {
                "correlation" => format!("{}_correlation", harm.whose),
                name => name.to_owned(),
            };
            (Key { name, place: key.place }, node.clone())
        })
    });
    ("network.netem", with.collect())
}
