//! What of a project a run works at, and what two runs have in common.
//!
//! ```text
//! pid  namespace of pids  "\0"  "all" | identity of the graph (hex)  "\0"  (name  "\0")…
//! ```

use crate::error::Overlap;

/// What of a project a run works at. Runs whose claims overlap wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// All of it.
    Project,
    /// These targets of a graph that has this identity.
    Targets { graph: [u8; 32], names: Vec<String> },
}

/// Says what the targets of two runs of one graph have in common.
pub type Compare<'a> = dyn Fn(&[&str]) -> Option<Overlap> + 'a;

impl Claim {
    /// What this claim and the one of a run that works already have in common.
    pub(super) fn overlap(&self, other: &Claim, compare: &Compare<'_>) -> Option<Overlap> {
        let (
            Claim::Targets { graph, .. },
            Claim::Targets {
                graph: others,
                names,
            },
        ) = (self, other)
        else {
            return Some(Overlap::Project);
        };
        if graph != others {
            return Some(Overlap::Manifest);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        compare(&names)
    }

    pub(super) fn encode(&self, holder: &Holder) -> Vec<u8> {
        let mut text = format!("{} {}\0", holder.pid, holder.namespace);
        match self {
            Claim::Project => text.push_str(ALL),
            Claim::Targets { graph, names } => {
                text.push_str(&hex::encode(graph));
                for name in names {
                    text.push('\0');
                    text.push_str(name);
                }
            }
        }
        text.push('\0');
        text.into_bytes()
    }

    /// Whatever is not understood claims everything.
    pub(super) fn decode(bytes: &[u8]) -> (Option<Holder>, Claim) {
        let text = String::from_utf8_lossy(bytes);
        let whole = text.strip_suffix('\0');
        let mut parts = whole.unwrap_or_default().split('\0');
        let holder = parts.next().and_then(Holder::parse);
        let graph = parts.next().unwrap_or(ALL);
        let mut identity = [0; 32];
        let claim = match hex::decode_to_slice(graph, &mut identity) {
            Ok(()) => Claim::Targets {
                graph: identity,
                names: parts.map(str::to_string).collect(),
            },
            Err(_) => Claim::Project,
        };
        (holder, claim)
    }
}

const ALL: &str = "all";

/// The process that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub pid: u32,
    /// Numbers of another container's processes mean nothing here.
    pub namespace: u64,
}

impl Holder {
    fn parse(text: &str) -> Option<Holder> {
        let (pid, namespace) = text.split_once(' ')?;
        Some(Holder {
            pid: pid.parse().ok()?,
            namespace: namespace.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: Holder = Holder {
        pid: 7,
        namespace: 9,
    };

    fn claim(graph: u8, names: &[&str]) -> Claim {
        Claim::Targets {
            graph: [graph; 32],
            names: names.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_claim_comes_back_and_what_is_none_claims_everything() {
        for claim in [Claim::Project, claim(1, &[]), claim(2, &["a", "x/y\nz:b"])] {
            let encoded = claim.encode(&HOLDER);
            assert_eq!(Claim::decode(&encoded), (Some(HOLDER), claim));
        }
        for torn in [&b""[..], b"7 9\0", b"7 9\0abcd", b"7 9\0zz\0a\0", b"\xff"] {
            assert_eq!(Claim::decode(torn).1, Claim::Project, "{torn:?}");
        }
    }

    #[test]
    fn runs_overlap_unless_one_graph_says_that_they_do_not() {
        let none: &Compare<'_> = &|_| None;
        let (one, other) = (claim(1, &["a"]), claim(1, &["b"]));
        assert_eq!(one.overlap(&other, none), None);
        assert_eq!(one.overlap(&Claim::Project, none), Some(Overlap::Project));
        assert_eq!(Claim::Project.overlap(&one, none), Some(Overlap::Project));
        assert_eq!(
            one.overlap(&claim(2, &["b"]), none),
            Some(Overlap::Manifest)
        );
        let same: &Compare<'_> = &|names| Some(Overlap::Target(names[0].to_string()));
        assert_eq!(one.overlap(&other, same), Some(Overlap::Target("b".into())));
    }
}
