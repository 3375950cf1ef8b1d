//! A finding and what the policy makes of it.

use serde::Serialize;

use imgmake_oci::image::Digest;

use crate::findings::Finding;

/// A finding and what the policy makes of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    pub finding: Finding,
    pub judgement: Judgement,
    /// The probability of an exploit, where the list has it.
    pub epss: Option<f64>,
    /// It is in the catalog of known exploited vulnerabilities.
    pub is_exploited: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Judgement {
    /// Speaks against the image, with the reason.
    Refused(String),
    /// Below the threshold, not fixable, or a warning only.
    Tolerated(String),
    /// By a rule, with its reason.
    Ignored(String),
}

/// Which image the findings are about, as VEX products name it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub name: String,
    /// Of the manifest, and of the index that it belongs to.
    pub digests: Vec<Digest>,
}
