//! `/etc/resolv.conf` and `/etc/hosts` of a step.

use imgmake_sandbox::NAME_SERVER;

use super::request::{Network, RunRequest};
use crate::request::Resolver;

/// Servers that everybody reaches, for hosts whose own is behind loopback.
const PUBLIC: &str = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";

/// The host's, as the step can use it, with the servers and domains that the target names in their place. With
/// the host's network a resolver on loopback is reachable, so it stays.
pub(super) fn resolv_conf(network: Network, wanted: &Resolver) -> String {
    if network == Network::None {
        return String::new();
    }
    if network == Network::Isolated {
        // The host's own servers may be where this network does not reach: its loopback,
        // say. They are asked by the program that connects it.
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let mut wanted = wanted.clone();
        if wanted.servers.is_empty() {
            wanted.servers.push(NAME_SERVER.to_string());
        }
        return replaced(&host, &wanted);
    }
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    match wanted.servers.is_empty() {
        true => replaced(&usable(&host), wanted),
        false => replaced(&host, wanted),
    }
}

fn replaced(host: &str, wanted: &Resolver) -> String {
    let Resolver { servers, search } = wanted;
    let gone = |line: &&str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        (word == "nameserver" && !servers.is_empty())
            || (matches!(word, "search" | "domain") && !search.is_empty())
    };
    let kept = host.lines().filter(|line| !gone(line));
    let mut text: String = kept.map(|line| format!("{line}\n")).collect();
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
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

    #[test]
    fn named_servers_and_domains_take_the_place_of_the_hosts() {
        let host = "# by hand\nsearch lan\nnameserver 127.0.0.53\noptions edns0\n";
        let wanted = |servers: &[&str], search: &[&str]| Resolver {
            servers: servers.iter().map(|s| s.to_string()).collect(),
            search: search.iter().map(|s| s.to_string()).collect(),
        };
        assert_eq!(replaced(host, &wanted(&[], &[])), host);
        assert_eq!(
            replaced(host, &wanted(&["10.0.0.2", "fd00::2"], &[])),
            "# by hand\nsearch lan\noptions edns0\nnameserver 10.0.0.2\nnameserver fd00::2\n"
        );
        assert_eq!(
            replaced(host, &wanted(&[], &["corp.example", "example"])),
            "# by hand\nnameserver 127.0.0.53\noptions edns0\nsearch corp.example example\n"
        );
    }
}
