//! The network of the demo shop for root: a network namespace for each service, all on one switch.
//!
//! ```text
//!  this host ─ squall-shop-92 ┐
//!                             switch (in squall-shop-92-switch)
//!  gateway ─ eth0 ────────────┤
//!  payment, ledger, cache ────┘
//! ```
//!
//! The switch is in a namespace of its own, where no firewall of the host interferes. Addresses are of 198.18.0.0/15,
//! which RFC 2544 sets aside for tests, so that nothing real is hidden. When the namespaces go, all of it goes; a keeper
//! takes them away when the demo was killed (see [`super::keeper`]).

use super::keeper::Keeper;
use super::shop::{Layout, Service};
use crate::shop_networks::{self, NUMBERS, Number};
use squall_linux::sys::link;
use squall_linux::sys::namespace::{self, Namespace};
use squall_linux::sys::netlink::Error;
use squall_linux::sys::route;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The port of each service at its own address.
const PORT: u16 = 8080;
/// Where the switch is, beside the services.
const SWITCH: &str = "switch";

/// A network that is there until it is dropped.
#[derive(Debug)]
pub(crate) struct ShopNetwork {
    number: Number,
    keeper: Option<Keeper>,
    keep: bool,
}

impl ShopNetwork {
    /// Makes the network. What demos that were killed left behind is taken away first. With `keep` it stays.
    ///
    /// # Errors
    /// Where the privilege or a free number is missing; nothing is left then.
    pub(crate) fn create(keep: bool) -> Result<Self, String> {
        let folder =
            |error: std::io::Error| format!("could not use the folder of network namespaces: {error}");
        let lock = shop_networks::lock().map_err(folder)?;
        for (_, removed) in shop_networks::remove_abandoned(&lock).map_err(folder)? {
            removed?;
        }
        let number = free_number()?;
        // From here on an error drops the network, which takes away what was made.
        let mut network = Self { number, keeper: None, keep: false };
        network.build().map_err(|error| error.to_string())?;
        let keeper = Keeper::start(number, &number.namespace(SWITCH), keep);
        network.keeper = Some(keeper.map_err(|error| error.to_string())?);
        network.keep = keep;
        Ok(network)
    }

    fn build(&self) -> Result<(), Error> {
        let switch = self.number.namespace(SWITCH);
        let services = Service::ALL.into_iter().map(|service| self.namespace(service));
        services.chain([switch.clone()]).try_for_each(|name| link::create_namespace(&name))?;
        inside(&switch, || link::add_switch("switch").and_then(|()| link::set_up("switch")))?;
        for service in Service::ALL {
            let name = self.namespace(service);
            let port = service.name();
            inside(&switch, || {
                link::add_cable(port, "eth0", &link::namespace_path(&name))?;
                link::plug(port, "switch")?;
                link::set_up(port)
            })?;
            inside(&name, || {
                link::add_address("eth0", self.address(service).ip(), 24)?;
                link::set_up("eth0")
            })?;
        }
        let cable = self.number.to_string();
        link::add_cable(&cable, "host", &link::namespace_path(&switch))?;
        inside(&switch, || link::plug("host", "switch").and_then(|()| link::set_up("host")))?;
        link::add_address(&cable, self.at(1), 24)?;
        link::set_up(&cable)
    }

    fn at(&self, last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(198, 18, self.number.0, last))
    }

    fn address(&self, service: Service) -> SocketAddr {
        let position = Service::ALL.iter().position(|other| *other == service).unwrap_or_default();
        SocketAddr::new(self.at(10 + position as u8), PORT)
    }

    /// Where each service listens.
    pub(crate) fn layout(&self) -> Result<Layout, String> {
        Layout::of(&Service::ALL.map(|service| (service, self.address(service))))
            .map_err(|error| error.to_string())
    }

    fn remove_if_abandoned(&self) -> Result<(), String> {
        let _lock = shop_networks::lock().map_err(|error| error.to_string())?;
        if self.number.is_inhabited() { Ok(()) } else { self.number.remove() }
    }

    /// Name of the namespace of a service.
    pub(crate) fn namespace(&self, service: Service) -> String {
        self.number.namespace(service.name())
    }

    /// The file of a service's namespace.
    pub(crate) fn namespace_file(&self, service: Service) -> PathBuf {
        link::namespace_path(&self.namespace(service))
    }
}

impl Drop for ShopNetwork {
    fn drop(&mut self) {
        let removed = match &mut self.keeper {
            Some(keeper) if self.keep => return keeper.dismiss(),
            Some(keeper) => {
                if keeper.take_away() {
                    return;
                }
                // The keeper was killed, and another demo may have taken the network away since, and its number.
                self.remove_if_abandoned()
            }
            // It was never finished, and whoever makes it holds the lock.
            None => self.number.remove(),
        };
        if let Err(error) = removed {
            crate::out::warn(format!("squall demo: {error}"));
        }
    }
}

fn inside(name: &str, deed: impl FnOnce() -> Result<(), Error> + Send) -> Result<(), Error> {
    Namespace::open(link::namespace_path(name))?.run(deed)?
}

/// A number that no other demo has, and whose test network this host does not use.
fn free_number() -> Result<Number, String> {
    let used = route::addresses().map_err(|error| error.to_string())?;
    let taken = shop_networks::all().map_err(|error| error.to_string())?;
    let is_free = |number: &u8| {
        let in_it = |address: &route::LinkAddress| match address.address {
            IpAddr::V4(v4) => v4.octets()[..3] == [198, 18, *number],
            IpAddr::V6(_) => false,
        };
        !taken.contains(&Number(*number)) && !used.iter().any(in_it)
    };
    let free = NUMBERS.into_iter().find(is_free).map(Number);
    free.ok_or_else(|| "all test networks of 198.18.0.0/16 are in use; end a demo first".to_owned())
}

/// Whether this process may make the network: tried in a namespace that is gone at once.
pub(crate) fn is_possible() -> bool {
    namespace::run_in_fresh(|| ()).is_ok()
}
