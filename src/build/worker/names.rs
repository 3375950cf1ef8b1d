//! `/etc/resolv.conf` and `/etc/hosts` of a step.

use super::request::{Network, RunRequest};

/// Servers that everybody reaches, for hosts whose own is behind loopback.
const PUBLIC: &str = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";

/// The host's, as the step can use it. With the host's network a resolver on
/// loopback is reachable, so it stays.
pub(super) fn resolv_conf(network: Network) -> String {
    if network == Network::None {
        return String::new();
    }
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    usable(&host)
}

fn usable(host: &str) -> String {
    let has_server = host
        .lines()
        .any(|line| line.trim_start().starts_with("nameserver"));
    if has_server {
        return host.to_string();
    }
    // systemd-resolved's own list, where the usual file is empty or a dangling link.
    let real = std::fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or_default();
    if real.contains("nameserver") {
        return real;
    }
    format!("{host}{PUBLIC}")
}

pub(super) fn hosts(request: &RunRequest) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_string();
    if !request.hostname.is_empty() && request.hostname != "localhost" {
        text.push_str(&format!("127.0.0.1\t{}\n", request.hostname));
    }
    for (name, address) in &request.add_hosts {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_servers_keeps_its_file() {
        let text = "search lan\nnameserver 127.0.0.53\noptions edns0\n";
        assert_eq!(usable(text), text);
    }
}
