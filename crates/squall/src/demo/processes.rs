//! The demo shop as real processes of this same binary, joined by real TCP.

use super::network::ShopNetwork;
use super::shop::{self, Config, Layout, Service};
use squall_linux::sys::namespace;
use squall_linux::sys::pidfd::Pidfd;
use squall_linux::sys::process;
use squall_model::step::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How long the services may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a service may take to end when asked to.
const FAREWELL: Duration = Duration::from_secs(2);

/// The shop, running. Dropping it ends it.
pub(crate) struct Shop {
    layout: Layout,
    services: Vec<(Service, Child)>,
    network: Option<ShopNetwork>,
    keep: bool,
}

impl Shop {
    /// Starts the shop: in network namespaces where `with_network`, else on ports of the loopback address. With
    /// `keep` it outlives this process.
    pub(crate) fn start(fixed: bool, with_network: bool, keep: bool) -> Result<Self, String> {
        let network = if with_network { Some(ShopNetwork::create(keep)?) } else { None };
        let layout = match &network {
            Some(network) => network.layout()?,
            None => Layout::loopback().map_err(|error| error.to_string())?,
        };
        let mut shop = Self { layout, services: Vec::new(), network, keep };
        shop.open(fixed)?;
        Ok(shop)
    }

    /// Starts a shop as it is described, on ports of the loopback address.
    pub(super) fn open_as(config: &Config) -> Result<Self, String> {
        let mut shop = Self { layout: config.layout, services: Vec::new(), network: None, keep: false };
        shop.open_all(config)?;
        Ok(shop)
    }

    /// Ends the services and starts them anew, as first built or with the weakness fixed.
    pub(crate) fn restart(&mut self, fixed: bool) -> Result<(), String> {
        self.end();
        self.open(fixed)
    }

    fn open(&mut self, fixed: bool) -> Result<(), String> {
        self.open_all(&self.layout.config(fixed))
    }

    fn open_all(&mut self, config: &Config) -> Result<(), String> {
        for service in Service::ALL {
            let child = self
                .command(service, config)
                .and_then(|mut command| command.spawn())
                .map_err(|error| format!("could not start {service}: {error}"))?;
            self.services.push((service, child));
        }
        Service::ALL.into_iter().try_for_each(|service| wait_until_healthy(service, self.address(service)))
    }

    /// What starts a service, also again.
    pub(super) fn command(&self, service: Service, config: &Config) -> std::io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["shop", service.name(), &config.to_json().map_err(std::io::Error::other)?]);
        let place = self.network.as_ref().map(|network| network.namespace_file(service));
        command.arg(place.unwrap_or_else(|| "-".into()));
        // Its input ends when this process does, however it ends, and the service with it.
        command.stdin(if self.keep { Stdio::null() } else { Stdio::piped() });
        command.arg(if self.keep { "keep" } else { "follow" });
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(command)
    }

    /// Hands a service over to somebody else, who ends it.
    pub(super) fn take(&mut self, service: Service) -> Option<Child> {
        let position = self.services.iter().position(|(other, _)| *other == service)?;
        Some(self.services.remove(position).1)
    }

    /// Where a service listens.
    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        self.layout.address(service)
    }

    /// Process number of a service.
    pub(crate) fn pid(&self, service: Service) -> Option<u32> {
        self.services.iter().find(|(other, _)| *other == service).map(|(_, child)| child.id())
    }

    /// Name of the network namespace of a service, where it has one.
    pub(crate) fn namespace(&self, service: Service) -> Option<String> {
        self.network.as_ref().map(|network| network.namespace(service))
    }

    fn end(&mut self) {
        for (_, child) in &self.services {
            // A service that has ended needs no signal.
            if let Ok(Some(held)) = process::reference(child.id()).map(|one| Pidfd::open(&one).ok().flatten())
            {
                let _ = held.send(Signal::Term);
                // One that is stopped hears it once it goes on.
                let _ = held.send(Signal::Cont);
            }
        }
        let deadline = Instant::now() + FAREWELL;
        for (_, mut child) in self.services.drain(..) {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if !self.keep {
            self.end();
        }
    }
}

fn wait_until_healthy(service: Service, address: SocketAddr) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask_health(address) {
            Ok(true) => return Ok(()),
            answer if Instant::now() > deadline => {
                let why = answer.map_or_else(|error| error.to_string(), |_| "it is not healthy".to_owned());
                return Err(format!("{service} does not answer on {address}: {why}"));
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn ask_health(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(&head == b"HTTP/1.1 200")
}

/// `squall shop SERVICE CONFIG NAMESPACE|- keep|follow`: serves until told to end, or until standard input ends.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::out::warn(format!("squall shop: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> Result<(), String> {
    let [service, config, place, bond] = arguments else {
        return Err("usage: squall shop SERVICE CONFIG NAMESPACE|- keep|follow".to_owned());
    };
    let service: Service = service.parse().map_err(|error: shop::ShopError| error.to_string())?;
    let config = Config::from_json(config).map_err(|error| error.to_string())?;
    if place != "-" {
        namespace::Namespace::open(place)
            .and_then(|there| there.enter())
            .map_err(|error| error.to_string())?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let follows = bond == "follow";
    let outcome = runtime.block_on(async {
        tokio::select! {
            served = shop::serve(service, config) => served.map_err(|error| error.to_string()),
            () = input_ended(), if follows => Ok(()),
        }
    });
    // The thread that reads standard input may wait for ever.
    runtime.shutdown_background();
    outcome
}

/// Ends when standard input does.
pub(super) async fn input_ended() {
    let ended = tokio::task::spawn_blocking(|| {
        let mut rest = [0; 64];
        while matches!(std::io::stdin().read(&mut rest), Ok(length) if length > 0) {}
    });
    // A task that failed has ended as well.
    let _ = ended.await;
}
