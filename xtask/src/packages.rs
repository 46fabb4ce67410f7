//! The Debian packages that the tests use: real servers, and tools that look at the kernel independently of Squall.

use crate::{Outcome, shell};

/// What is needed: a program that shows it is there, its package, and what for.
pub(crate) type Needed = (&'static str, &'static str, &'static str);

const NEEDED: &[Needed] = &[
    ("cc", "gcc", "linking"),
    ("ip", "iproute2", "network namespaces, an independent look at qdiscs"),
    ("nft", "nftables", "an independent look at packet filters"),
    ("ping", "iputils-ping", "measuring delay and loss"),
    ("iperf3", "iperf3", "measuring bandwidth"),
    ("python3", "python3", "victims that Squall does not know"),
    ("sudo", "sudo", "hands of root for the brain of a user"),
    ("useradd", "passwd", "that user"),
    ("psql", "postgresql", "a real database"),
    ("mariadbd", "mariadb-server", "another real database"),
    ("nats-server", "nats-server", "a real broker"),
    ("redis-server", "redis-server", "a real cache"),
    ("curl", "curl", "asking over HTTP independently of Squall"),
    ("rabbitmqctl", "rabbitmq-server", "another real broker"),
    // A library, found from the folders of programs.
    ("../lib/python3/dist-packages/pika/__init__.py", "python3-pika", "a client of that broker"),
    ("prometheus", "prometheus", "a real metric source"),
    ("prometheus-pushgateway", "prometheus-pushgateway", "where metrics are pushed to"),
    ("prometheus-alertmanager", "prometheus-alertmanager", "where alerts go"),
    ("dnsmasq", "dnsmasq-base", "a real name server"),
    ("/lib/systemd/systemd-journal-remote", "systemd-journal-remote", "writing a journal"),
    ("dockerd", "docker.io", "real containers"),
    ("busybox", "busybox-static", "what runs in containers"),
    ("etcd", "etcd-server", "a real cluster of Kubernetes"),
    ("containerd", "containerd", "its containers"),
    ("runc", "runc", "its containers"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins", "its network"),
    ("conntrack", "conntrack", "its network"),
    ("iptables", "iptables", "its network"),
    ("socat", "socat", "its network"),
    ("openssl", "openssl", "its keys"),
    ("xz", "xz-utils", "its programs"),
    ("chromium", "chromium", "looking at reports"),
    ("tmux", "tmux", "looking at the terminal view"),
];

/// Installs what the tests need and is missing as root; says what to install otherwise.
pub(crate) fn provide() -> Outcome {
    provide_all(NEEDED)
}

/// Installs what is missing of these as root; says what to install otherwise.
pub(crate) fn provide_all(needed: &[Needed]) -> Outcome {
    let mut missing: Vec<&str> = needed
        .iter()
        .filter(|(program, _, _)| !shell::has(program))
        .map(|(_, package, _)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !shell::is_root() || !shell::has("apt-get") {
        eprintln!(
            "missing: {list}\n  what needs them is skipped; install them with: sudo apt-get install {list}"
        );
        return Ok(());
    }
    install(&missing)
}

/// Installs packages. Takes root.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    shell::run("package lists", &mut quiet(&["update", "-qq"]))?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(packages);
    shell::run(&format!("installing {}", packages.join(" ")), &mut quiet(&install))
}

fn quiet(arguments: &[&str]) -> std::process::Command {
    let mut command = shell::command("apt-get", arguments);
    // Servers that come with packages are started by the tests, each on a port of its own, and by nobody else.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").stdout(std::process::Stdio::null());
    command
}
