//! `EXPOSE` words to ports: `8080`, `53/udp`, `8000-8010/tcp`.

use super::error::{DockerfileError, Mistake};

/// One entry per port, as the image's configuration lists them: `8080/tcp`. Words are already expanded.
///
/// An address or a host port in front (`127.0.0.1:80:80`) is dropped, as BuildKit does; lint tells the user.
pub fn exposed_ports(words: &[String]) -> Result<Vec<String>, DockerfileError> {
    let mut ports = Vec::new();
    for word in words {
        let parsed = Word::parse(word)?;
        for port in parsed.first..=parsed.last {
            ports.push(format!("{port}/{}", parsed.protocol.to_lowercase()));
        }
    }
    Ok(ports)
}

/// One word, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// `address:` and `host port:` in front.
    pub address: &'a str,
    pub host_port: &'a str,
    pub first: u16,
    pub last: u16,
    /// As written; `tcp` if not.
    pub protocol: &'a str,
}

impl Word<'_> {
    pub(super) fn parse(word: &str) -> Result<Word<'_>, DockerfileError> {
        let wrong = |why: String| {
            let written = word.to_owned();
            Mistake::Port { word: written, why }
                .in_word(word)
                .help("write PORT, PORT/udp or FIRST-LAST/tcp")
        };
        let (front, container) = word.rsplit_once(':').unwrap_or(("", word));
        let (address, host_port) = front.rsplit_once(':').unwrap_or(("", front));
        let (range, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        if !["tcp", "udp", "sctp"].contains(&protocol.to_lowercase().as_str()) {
            return Err(wrong(format!("unknown protocol `{protocol}`")));
        }
        let (first, last) = port_range(range).map_err(&wrong)?;
        if !host_port.is_empty() {
            let (host_first, host_last) = port_range(host_port).map_err(&wrong)?;
            if last - first != host_last - host_first && first != last {
                return Err(wrong("the two ranges differ in length".to_owned()));
            }
        }
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        if !address.is_empty() && bare.parse::<std::net::IpAddr>().is_err() {
            return Err(wrong(format!("invalid IP address `{address}`")));
        }
        Ok(Word {
            address,
            host_port,
            first,
            last,
            protocol,
        })
    }
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| {
        let parsed = text.parse::<u16>();
        parsed.map_err(|_| format!("invalid port `{text}` (0 to 65535)"))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    match first <= last {
        true => Ok((first, last)),
        false => Err(format!("the range `{text}` runs backwards")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(word: &str) -> Vec<String> {
        exposed_ports(&[word.to_owned()]).unwrap_or_else(|e| vec![e.mistake.to_string()])
    }

    #[test]
    fn a_word_names_one_port_or_a_range() {
        assert_eq!(ports("80"), ["80/tcp"]);
        assert_eq!(ports("53/UDP"), ["53/udp"]);
        assert_eq!(ports("80/"), ["80/tcp"]);
        assert_eq!(
            ports("7000-7002/sctp"),
            ["7000/sctp", "7001/sctp", "7002/sctp"]
        );
        assert_eq!(ports("127.0.0.1:8080:80"), ["80/tcp"]);
        assert_eq!(ports("[::1]:8080:80"), ["80/tcp"]);
    }

    #[test]
    fn what_is_no_port_is_an_error() {
        for word in ["", "http", "70000", "9-8", "80/icmp", "x:1:80", "1-3:80-90"] {
            assert!(exposed_ports(&[word.to_owned()]).is_err(), "{word}");
        }
    }
}
