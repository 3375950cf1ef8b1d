//! `WWW-Authenticate`: what a registry wants to see before it answers.
//!
//! Several challenges may stand in one header or in several. Headers that the
//! grammar of RFC 9110 refuses, which real servers send, are read leniently.

/// One challenge; parameter names are lower-case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Bearer(Bearer),
    Basic,
}

/// Where tokens are to be had (distribution's token specification).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bearer {
    pub realm: String,
    pub service: Option<String>,
    pub scope: Option<String>,
    pub error: Option<String>,
}

impl Challenge {
    /// The challenge to answer: Bearer if there is one, for its tokens are the
    /// narrower credential; else Basic.
    pub(super) fn choose<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Challenge> {
        let all: Vec<Challenge> = headers.flat_map(parse).collect();
        let bearer = all
            .iter()
            .position(|c| matches!(c, Challenge::Bearer(b) if !b.realm.is_empty()));
        match bearer {
            Some(at) => all.into_iter().nth(at),
            None => all.into_iter().find(|c| *c == Challenge::Basic),
        }
    }

    /// As it holds for every repository.
    pub(super) fn without_scope(self) -> Challenge {
        match self {
            Challenge::Bearer(bearer) => Challenge::Bearer(Bearer {
                scope: None,
                ..bearer
            }),
            Challenge::Basic => Challenge::Basic,
        }
    }
}

/// A refusal that asks for nothing which can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// No challenge came at all.
    NoChallenge,
    /// The schemes that it asks for, none of them Basic or a Bearer with a realm.
    Schemes(Vec<String>),
}

impl Unanswered {
    pub(super) fn of<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Unanswered> {
        let headers: Vec<&str> = headers.filter(|header| !header.trim().is_empty()).collect();
        if Challenge::choose(headers.iter().copied()).is_some() {
            return None;
        }
        let schemes = headers.iter().flat_map(|header| pairs(header));
        let schemes: Vec<String> = schemes.map(|(scheme, _)| scheme).collect();
        Some(match headers.is_empty() {
            true => Unanswered::NoChallenge,
            false => Unanswered::Schemes(schemes),
        })
    }
}

/// Whether a `WWW-Authenticate` header asks for something that can be answered.
pub fn understands_challenge(header: &str) -> bool {
    Challenge::choose([header].into_iter()).is_some()
}

fn parse(header: &str) -> Vec<Challenge> {
    pairs(header)
        .into_iter()
        .filter_map(|(s, p)| known(&s, p))
        .collect()
}

/// Schemes in lower case, with their parameters.
fn pairs(header: &str) -> Pairs {
    match http_auth::parse_challenges(header) {
        Ok(challenges) => challenges
            .iter()
            .map(|c| {
                let parameters = c
                    .params
                    .iter()
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped()))
                    .collect();
                (c.scheme.to_ascii_lowercase(), parameters)
            })
            .collect(),
        Err(_) => lenient(header),
    }
}

fn known(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let mut bearer = Bearer::default();
            for (name, value) in parameters {
                match name.as_str() {
                    "realm" => bearer.realm = value,
                    "service" => bearer.service = Some(value),
                    "scope" => bearer.scope = Some(value),
                    "error" => bearer.error = Some(value),
                    _ => {}
                }
            }
            Some(Challenge::Bearer(bearer))
        }
        _ => None,
    }
}

type Pairs = Vec<(String, Vec<(String, String)>)>;

/// Words before an unquoted blank open a challenge, `name=value` extends it;
/// values may be unquoted and hold anything but a comma.
fn lenient(header: &str) -> Pairs {
    let mut challenges: Pairs = Vec::new();
    for part in split_outside_quotes(header) {
        let mut part = part.trim();
        if let Some((word, rest)) = part.split_once(char::is_whitespace)
            && !word.contains('=')
        {
            challenges.push((word.to_ascii_lowercase(), Vec::new()));
            part = rest.trim();
        } else if !part.contains('=') && !part.is_empty() {
            challenges.push((part.to_ascii_lowercase(), Vec::new()));
            continue;
        }
        if let (Some((name, value)), Some(last)) = (part.split_once('='), challenges.last_mut()) {
            let value = value.trim().trim_matches('"').replace("\\\"", "\"");
            last.1.push((name.trim().to_ascii_lowercase(), value));
        }
    }
    challenges
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(header: &str) -> Bearer {
        match Challenge::choose(std::iter::once(header)) {
            Some(Challenge::Bearer(bearer)) => bearer,
            other => panic!("{header}: {other:?}"),
        }
    }

    /// end-1: `WWW-Authenticate` of Bearer is read: realm, service and scope.
    #[test]
    fn the_docker_hub_challenge_is_read_with_commas_inside_its_scope() {
        let read = bearer(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        );
        assert_eq!(read.realm, "https://auth.docker.io/token");
        assert_eq!(read.service.as_deref(), Some("registry.docker.io"));
        assert_eq!(read.scope.as_deref(), Some("repository:a/b:pull,push"));
    }

    #[test]
    fn bearer_is_preferred_wherever_it_stands() {
        for header in [
            r#"Basic realm="x", Bearer realm="https://t/",service="s""#,
            r#"Bearer realm="https://t/",service="s", Basic realm="x""#,
            r#"Digest realm="d", nonce="n", Basic realm="x", Bearer realm="https://t/",service="s""#,
        ] {
            assert_eq!(bearer(header).realm, "https://t/", "{header}");
        }
        let two = ["Basic realm=\"x\"", "Bearer realm=\"https://t/\""];
        assert!(matches!(
            Challenge::choose(two.into_iter()),
            Some(Challenge::Bearer(_))
        ));
    }

    #[test]
    fn sloppy_servers_are_understood() {
        for header in [
            "Bearer realm=https://t/token,service=reg.example.com",
            r#"bearer realm="https://t/token" , service="reg.example.com","#,
            r#"BEARER  Realm="https://t/token",Service=reg.example.com"#,
        ] {
            let read = bearer(header);
            assert_eq!(read.realm, "https://t/token", "{header}");
            assert_eq!(read.service.as_deref(), Some("reg.example.com"), "{header}");
        }
        assert_eq!(
            Challenge::choose(std::iter::once("Basic")),
            Some(Challenge::Basic)
        );
    }

    #[test]
    fn a_bearer_challenge_without_realm_cannot_be_answered() {
        assert_eq!(
            Challenge::choose(std::iter::once("Bearer service=\"x\"")),
            None
        );
        assert_eq!(Challenge::choose(std::iter::once("Negotiate")), None);
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(header in ".{0,200}") {
            drop(Challenge::choose(std::iter::once(header.as_str())));
            drop(lenient(&header));
        }
    }
}
