//! What is known of targets, and the records of the log that say it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::log::{self, Found, Log, Past, Place};
use super::output::Output;
use crate::error::{CoreError, Result};
use crate::fingerprint::{CacheKey, Explanation, Inputs};
use imgmake_guard::mac::MacKey;

/// The result of the last finished attempt at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub key: CacheKey,
    /// What dependents put into their keys: equal outputs give equal digests.
    pub digest: [u8; 32],
    pub outputs: Vec<Output>,
    /// Encoded; decoded only when somebody asks why.
    pub(super) explanation: Vec<u8>,
}

impl Outcome {
    pub fn new(inputs: &Inputs, digest: [u8; 32], outputs: Vec<Output>) -> Outcome {
        let explanation = postcard::to_stdvec(&inputs.explanation())
            .expect("an explanation holds strings and hashes");
        Outcome {
            key: inputs.key(),
            digest,
            outputs,
            explanation,
        }
    }

    pub fn explanation(&self) -> Explanation {
        postcard::from_bytes(&self.explanation).unwrap_or_default()
    }
}

/// What is known about a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetRecord {
    pub outcome: Option<Outcome>,
    /// What happened after that outcome, if anything did.
    pub status: AttemptStatus,
}

/// What became of the last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptStatus {
    #[default]
    Finished,
    /// It started and nothing more is known: the run was killed.
    Interrupted,
    Failed,
    /// It was made, but from inputs that moved meanwhile.
    InputsChanged,
    /// It was made from inputs that somebody wrote meanwhile, though they hold what they held.
    InputsTouched,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Record<'a> {
    Attempt {
        target: &'a str,
        status: AttemptStatus,
    },
    Finished {
        target: &'a str,
        key: CacheKey,
        digest: [u8; 32],
        outputs: Vec<Output>,
        #[serde(borrow)]
        explanation: &'a [u8],
    },
    Pin {
        name: &'a str,
        value: &'a str,
    },
    Took {
        target: &'a str,
        millis: u64,
    },
}

/// What is kept of a target in memory.
#[derive(Default)]
pub(super) struct Known {
    pub outcome: Option<Kept>,
    pub status: AttemptStatus,
}

/// An outcome whose explanation, by far the most of it, stays where it was read: only who is stale is asked why.
pub(super) struct Kept {
    pub key: CacheKey,
    pub digest: [u8; 32],
    pub outputs: Vec<Output>,
    explanation: Written,
}

enum Written {
    Here(Vec<u8>),
    InLog(Place),
}

#[derive(Default)]
pub(super) struct Inner {
    pub targets: BTreeMap<String, Known>,
    pub pins: BTreeMap<String, String>,
    /// How long the work at a target took the last time, in milliseconds.
    pub took: BTreeMap<String, u64>,
    /// `None` when this process may only read.
    pub log: Option<Log>,
    /// The log as it was read.
    past: Option<Past>,
}

impl Written {
    /// About how many bytes.
    fn len(&self) -> usize {
        match self {
            Written::Here(explanation) => explanation.len(),
            Written::InLog(place) => place.length(),
        }
    }
}

impl From<Outcome> for Kept {
    fn from(outcome: Outcome) -> Kept {
        Kept {
            key: outcome.key,
            digest: outcome.digest,
            outputs: outcome.outputs,
            explanation: Written::Here(outcome.explanation),
        }
    }
}

impl Outcome {
    pub(super) fn record<'a>(&'a self, target: &'a str) -> Record<'a> {
        Record::Finished {
            target,
            key: self.key,
            digest: self.digest,
            outputs: self.outputs.clone(),
            explanation: &self.explanation,
        }
    }
}

impl Inner {
    /// What the log tells, and what kind of log it is.
    pub fn load(directory: &Directory, key: &MacKey) -> (Inner, Found) {
        let mut inner = Inner::default();
        let found = log::read(directory, key, |payload, place| {
            let record = postcard::from_bytes::<Record<'_>>(payload);
            record.map(|record| inner.apply(record, place)).is_ok()
        });
        (inner, found)
    }

    /// Explanations are read from there.
    pub fn goes_on_after(&mut self, past: Past) {
        self.past = Some(past);
    }

    /// All that is known of a target.
    pub fn record(&self, target: &str) -> TargetRecord {
        let Some(known) = self.targets.get(target) else {
            return TargetRecord::default();
        };
        TargetRecord {
            outcome: known.outcome.as_ref().map(|kept| self.outcome(kept)),
            status: known.status,
        }
    }

    fn outcome(&self, kept: &Kept) -> Outcome {
        Outcome {
            key: kept.key,
            digest: kept.digest,
            outputs: kept.outputs.clone(),
            explanation: match &kept.explanation {
                Written::Here(explanation) => explanation.clone(),
                Written::InLog(place) => self.explanation(place).unwrap_or_default(),
            },
        }
    }

    /// `None` when it cannot be read any more: then all is said to be new.
    fn explanation(&self, place: &Place) -> Option<Vec<u8>> {
        let payload = self.past.as_ref()?.payload(place)?;
        match postcard::from_bytes(&payload).ok()? {
            Record::Finished { explanation, .. } => Some(explanation.to_vec()),
            Record::Attempt { .. } | Record::Pin { .. } | Record::Took { .. } => None,
        }
    }

    fn apply(&mut self, record: Record<'_>, place: Place) {
        match record {
            Record::Attempt { target, status } => self.entry(target).status = status,
            Record::Finished {
                target,
                key,
                digest,
                outputs,
                ..
            } => {
                *self.entry(target) = Known {
                    outcome: Some(Kept {
                        key,
                        digest,
                        outputs,
                        explanation: Written::InLog(place),
                    }),
                    status: AttemptStatus::Finished,
                };
            }
            Record::Pin { name, value } => {
                self.pins.insert(name.to_string(), value.to_string());
            }
            Record::Took { target, millis } => {
                self.took.insert(target.to_string(), millis);
            }
        }
    }

    pub fn entry(&mut self, target: &str) -> &mut Known {
        if !self.targets.contains_key(target) {
            self.targets.insert(target.to_string(), Known::default());
        }
        self.targets.get_mut(target).expect("it was just put there")
    }

    pub fn append(&mut self, record: &Record<'_>) -> Result<()> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        let payload = postcard::to_stdvec(record).expect("records hold strings and numbers");
        log.append(&payload).map_err(CoreError::StateLog)
    }

    /// The length up to which the log is left as it is: twice what is live.
    pub fn worth_keeping(&self) -> u64 {
        let live: usize = self
            .targets
            .values()
            .filter_map(|known| known.outcome.as_ref())
            .map(|kept| kept.explanation.len() + 400)
            .sum();
        2 * live as u64 + (256 << 10)
    }

    /// Writes only what is live into a new log that replaces the old one.
    pub fn compact(&self, directory: &Directory, key: &MacKey) -> std::io::Result<Log> {
        Log::rewrite(directory, key, |log| {
            let encode =
                |record: &Record<'_>| postcard::to_stdvec(record).expect("records hold strings");
            for (name, value) in &self.pins {
                log.append(&encode(&Record::Pin { name, value }))?;
            }
            for (target, millis) in &self.took {
                let millis = *millis;
                log.append(&encode(&Record::Took { target, millis }))?;
            }
            for (target, known) in &self.targets {
                if let Some(kept) = &known.outcome {
                    log.append(&encode(&self.outcome(kept).record(target)))?;
                }
                if known.status != AttemptStatus::Finished {
                    let status = known.status;
                    log.append(&encode(&Record::Attempt { target, status }))?;
                }
            }
            Ok(())
        })
    }
}
