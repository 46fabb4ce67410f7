//! The network of the demo shop for root: a network namespace for each service, all on one switch.
//!
//! ```text
//!  this host ─ squall-shop ┐
//!                          switch (in squall-shop-switch)
//!  gateway ─ eth0 ─────────┤
//!  payment, ledger, cache ─┘
//! ```
//!
//! The switch is in a namespace of its own, where no firewall of the host interferes. Addresses are of 198.18.0.0/15,
//! which RFC 2544 sets aside for tests, so that nothing real is hidden. When the namespaces go, all of it goes.

use super::shop::{Layout, Service};
use squall_linux::sys::link;
use squall_linux::sys::namespace::{self, Namespace};
use squall_linux::sys::netlink::Error;
use squall_linux::sys::{process, route};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The port of each service at its own address.
const PORT: u16 = 8080;
/// The host's end of its cable, and the first part of the names of the namespaces.
const NAME: &str = "squall-shop";

/// A network that is there until it is dropped.
#[derive(Debug)]
pub(crate) struct ShopNetwork {
    subnet: u8,
    keep: bool,
}

fn switch() -> String {
    format!("{NAME}-switch")
}

/// Name of the namespace of a service.
pub(crate) fn namespace_name(service: Service) -> String {
    format!("{NAME}-{service}")
}

fn names() -> impl Iterator<Item = String> {
    Service::ALL.into_iter().map(namespace_name).chain([switch()])
}

impl ShopNetwork {
    /// Makes the network. What a demo that was killed left behind is taken away first.
    ///
    /// # Errors
    /// Where another demo lives in these namespaces, or the privilege is missing; nothing is left then.
    pub(crate) fn create() -> Result<Self, String> {
        if let Some(name) = names().find(|name| is_inhabited(name)) {
            return Err(format!("another demo lives in the network namespace {name}; end it first"));
        }
        remove_all().map_err(|error| error.to_string())?;
        let subnet = free_subnet().map_err(|error| error.to_string())?;
        let network = Self { subnet, keep: false };
        // From here on an error drops the network, which takes away what was made.
        network.build().map_err(|error| error.to_string())?;
        Ok(network)
    }

    fn build(&self) -> Result<(), Error> {
        names().try_for_each(|name| link::create_namespace(&name))?;
        inside(&switch(), || link::add_switch("switch").and_then(|()| link::set_up("switch")))?;
        for service in Service::ALL {
            let name = namespace_name(service);
            let port = service.name();
            inside(&switch(), || {
                link::add_cable(port, "eth0", &link::namespace_path(&name))?;
                link::plug(port, "switch")?;
                link::set_up(port)
            })?;
            inside(&name, || {
                link::add_address("eth0", self.address(service).ip(), 24)?;
                link::set_up("eth0")
            })?;
        }
        link::add_cable(NAME, "host", &link::namespace_path(&switch()))?;
        inside(&switch(), || link::plug("host", "switch").and_then(|()| link::set_up("host")))?;
        link::add_address(NAME, self.at(1), 24)?;
        link::set_up(NAME)
    }

    fn at(&self, last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(198, 18, self.subnet, last))
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

    /// Leaves the network there when this value is dropped.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for ShopNetwork {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = remove_all()
        {
            crate::out::warn(format!("squall demo: {error}"));
        }
    }
}

/// The file of a service's namespace.
pub(crate) fn namespace_file(service: Service) -> PathBuf {
    link::namespace_path(&namespace_name(service))
}

fn inside(name: &str, deed: impl FnOnce() -> Result<(), Error> + Send) -> Result<(), Error> {
    Namespace::open(link::namespace_path(name))?.run(deed)?
}

fn remove_all() -> Result<(), Error> {
    link::delete(NAME)?;
    names().try_for_each(|name| link::delete_namespace(&name))
}

/// Whether a process lives in a named namespace.
fn is_inhabited(name: &str) -> bool {
    let Ok(namespace) = Namespace::open(link::namespace_path(name)) else { return false };
    let lives_there = |pid: &u32| Namespace::of_process(*pid).is_ok_and(|other| other.id() == namespace.id());
    let is_own = Namespace::own().is_ok_and(|own| own.id() == namespace.id());
    // A file without a namespace on it looks like our own.
    !is_own && process::all().unwrap_or_default().iter().any(lives_there)
}

/// The third part of a test network that this host does not use yet.
fn free_subnet() -> Result<u8, Error> {
    let used = route::addresses()?;
    let is_free = |subnet: &u8| {
        let taken = |address: &route::LinkAddress| match address.address {
            IpAddr::V4(v4) => v4.octets()[..3] == [198, 18, *subnet],
            IpAddr::V6(_) => false,
        };
        !used.iter().any(taken)
    };
    Ok((92..=200).find(is_free).unwrap_or(92))
}

/// Whether this process may make the network: tried in a namespace that is gone at once.
pub(crate) fn is_possible() -> bool {
    namespace::run_in_fresh(|| ()).is_ok()
}
