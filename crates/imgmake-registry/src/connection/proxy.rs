//! Which proxy a host is reached through: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY,
//! NO_PROXY, upper or lower case, with Go's rules, which CI systems assume.

use std::collections::BTreeMap;
use std::net::IpAddr;

use url::Url;

/// The proxy for an address, as a URL. Loopback is never proxied.
pub fn proxy_for(url: &Url, environment: &BTreeMap<String, String>) -> Option<String> {
    let value = |name: &str| {
        [name.to_string(), name.to_ascii_lowercase()]
            .iter()
            .find_map(|n| environment.get(n))
            .map(|v| v.trim())
            .filter(|v| !v.is_empty())
    };
    let host = url
        .host_str()?
        .trim_matches(['[', ']'])
        .to_ascii_lowercase();
    if is_loopback(&host) {
        return None;
    }
    let port = url.port_or_known_default().unwrap_or(443);
    if value("NO_PROXY").is_some_and(|list| list.split(',').any(|e| exempts(e.trim(), &host, port)))
    {
        return None;
    }
    let own = if url.scheme() == "https" {
        "HTTPS_PROXY"
    } else {
        "HTTP_PROXY"
    };
    let proxy = value(own).or_else(|| value("ALL_PROXY"))?;
    Some(if proxy.contains("://") {
        proxy.to_string()
    } else {
        format!("http://{proxy}")
    })
}

pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

/// Addresses that routers do not pass on: clouds keep their metadata services there.
pub fn is_link_local(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            let metadata = address.segments()[..2] == [0xfd00, 0x0ec2];
            let mapped = address
                .to_ipv4_mapped()
                .is_some_and(|v4| v4.is_link_local());
            address.is_unicast_link_local() || metadata || mapped
        }
        Err(_) => false,
    }
}

fn exempts(entry: &str, host: &str, port: u16) -> bool {
    let entry = entry.to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return in_network(network, bits, host);
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, p)) if p.parse::<u16>().is_ok() && !name.contains(':') => {
            (name, p.parse::<u16>().ok())
        }
        _ => (entry.as_str(), None),
    };
    if name.is_empty() || wanted.is_some_and(|p| p != port) {
        return false;
    }
    // `.example.com` and `*.example.com` mean what lies below, `example.com` itself too.
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(below) => host.strip_suffix(below).is_some_and(|h| h.ends_with('.')),
        None => host == name || host.strip_suffix(name).is_some_and(|h| h.ends_with('.')),
    }
}

fn in_network(network: &str, bits: &str, host: &str) -> bool {
    let (Ok(network), Ok(bits), Ok(host)) = (
        network.parse::<IpAddr>(),
        bits.parse::<u32>(),
        host.parse::<IpAddr>(),
    ) else {
        return false;
    };
    match (network, host) {
        (IpAddr::V4(n), IpAddr::V4(h)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            n.to_bits() & mask == h.to_bits() & mask
        }
        (IpAddr::V6(n), IpAddr::V6(h)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            n.to_bits() & mask == h.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(url: &str, environment: &[(&str, &str)]) -> Option<String> {
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
            .collect();
        proxy_for(&Url::parse(url).unwrap(), &environment)
    }

    #[test]
    fn each_scheme_has_its_proxy_and_loopback_has_none() {
        let env = [("HTTPS_PROXY", "http://p:3128"), ("http_proxy", "q:8080")];
        assert_eq!(
            through("https://ghcr.io/v2/", &env).as_deref(),
            Some("http://p:3128")
        );
        assert_eq!(
            through("http://reg.corp/v2/", &env).as_deref(),
            Some("http://q:8080")
        );
        assert_eq!(through("http://localhost:5000/v2/", &env), None);
        assert_eq!(through("http://127.8.9.1/v2/", &env), None);
        assert_eq!(through("http://[::1]:5000/v2/", &env), None);
    }

    #[test]
    fn no_proxy_takes_names_suffixes_ports_and_networks() {
        let exempt = |list: &str, url: &str| {
            through(url, &[("ALL_PROXY", "http://p:1"), ("NO_PROXY", list)]).is_none()
        };
        assert!(exempt("a.io, corp.example", "https://reg.corp.example/"));
        assert!(exempt(".corp.example", "https://reg.corp.example/"));
        assert!(!exempt(".corp.example", "https://corp.example/"));
        assert!(exempt("*.corp.example", "https://reg.corp.example/"));
        assert!(!exempt("corp.example", "https://xcorp.example/"));
        assert!(exempt("10.0.0.0/8", "https://10.2.3.4/"));
        assert!(!exempt("10.0.0.0/8", "https://11.2.3.4/"));
        assert!(exempt("reg.example:5000", "https://reg.example:5000/"));
        assert!(!exempt("reg.example:5000", "https://reg.example/"));
        assert!(exempt("*", "https://any/"));
        assert!(!exempt("", "https://any/"));
    }
}
