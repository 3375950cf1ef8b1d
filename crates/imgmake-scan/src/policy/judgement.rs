//! A finding and what the policy makes of it.

use serde::Serialize;

use imgmake_oci::image::Digest;

use crate::findings::{Finding, printable_line};

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

impl Judgement {
    /// With a reason that can be shown: documents of others give some.
    pub fn make_printable(&mut self) {
        let (Judgement::Refused(why) | Judgement::Tolerated(why) | Judgement::Ignored(why)) = self;
        *why = printable_line(why);
    }
}

/// Which image the findings are about, as VEX products name it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub name: String,
    /// Of the manifest, and of the index that it belongs to.
    pub digests: Vec<Digest>,
}
