//! What is executed: actions, who does their work, and what they have made.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::failure::Failure;
use crate::fingerprint::{CacheKey, Inputs};
use crate::state::{Output, State};

/// One target to bring up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub target: String,
    pub kind: &'static str,
    /// Places, in the list of actions, of what must be done before.
    pub needs: Vec<usize>,
    pub when: When,
    /// Among the pools of the options: how many of it work at the same time.
    pub pool: Option<usize>,
    /// Nothing else works while it does.
    pub alone: bool,
}

/// When an action is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// What it depends on changed, or what it made is gone.
    Stale,
    /// In every run: nothing says what it depends on.
    Always,
}

/// What an action made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifacts {
    /// Equal outputs give equal digests.
    pub digest: [u8; 32],
    pub outputs: Vec<Output>,
}

/// The work itself.
pub trait Runner: Sync {
    /// Everything that the action depends on, as it is now.
    ///
    /// # Errors
    /// Something cannot be read.
    fn inputs(&self, action: usize, upstream: &Upstream<'_>) -> Result<Inputs, Failure>;

    /// The key of these inputs, where it is known without reading them; `None` where it is not.
    fn known_key(&self, _action: usize, _upstream: &Upstream<'_>) -> Option<CacheKey> {
        None
    }

    /// Whether its inputs are files, which another action may change.
    fn reads_files(&self, action: usize) -> bool;

    /// Whether its work may write files that another action reads.
    fn may_write_files(&self, action: usize) -> bool;

    /// Why what was recorded is no longer there or no longer the same; `None` when it is.
    ///
    /// # Errors
    /// It cannot be told.
    fn verify_outputs(&self, action: usize, outputs: &[Output]) -> Result<Option<String>, Failure>;

    /// Brings files here that the work reads and its key did not need; whether there were any. The inputs are read
    /// again then.
    ///
    /// # Errors
    /// They cannot be had.
    fn fetch(&self, _action: usize, _upstream: &Upstream<'_>) -> Result<bool, Failure> {
        Ok(false)
    }

    /// Waits until the work may begin, where somebody else counts what works. What it gives is held
    /// until the work has ended.
    ///
    /// # Errors
    /// Somebody cancelled.
    fn admit(&self, _action: usize) -> Result<Box<dyn Admission + '_>, Failure> {
        Ok(Box::new(()))
    }

    /// Does the work; outputs are in place when it returns. The inputs are those that it was
    /// found stale by.
    ///
    /// # Errors
    /// The work failed.
    fn run(
        &self,
        action: usize,
        inputs: &Inputs,
        upstream: &Upstream<'_>,
    ) -> Result<Artifacts, Failure>;
}

/// What a runner holds while an action works: anything that is given back when it is dropped.
pub trait Admission {}

impl<T> Admission for T {}

/// What the actions before an action have made.
pub struct Upstream<'a> {
    places: HashMap<&'a str, usize>,
    made: Vec<OnceLock<Artifacts>>,
}

impl<'a> Upstream<'a> {
    pub(super) fn new(actions: &'a [Action]) -> Upstream<'a> {
        let place = |(at, action): (usize, &'a Action)| (action.target.as_str(), at);
        Upstream {
            places: actions.iter().enumerate().map(place).collect(),
            made: actions.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// What was made before, by the records.
    pub fn recorded(actions: &'a [Action], state: &State) -> Upstream<'a> {
        let upstream = Upstream::new(actions);
        for (at, action) in actions.iter().enumerate() {
            if let Some((digest, outputs)) = state.recorded(&action.target) {
                upstream.keep(at, Artifacts { digest, outputs });
            }
        }
        upstream
    }

    /// By target name, among all that is done.
    pub fn made(&self, target: &str) -> Option<&Artifacts> {
        self.at(*self.places.get(target)?)
    }

    pub fn at(&self, action: usize) -> Option<&Artifacts> {
        self.made.get(action)?.get()
    }

    pub(super) fn keep(&self, action: usize, made: Artifacts) {
        let put = self.made[action].set(made);
        put.expect("an action is done once");
    }
}
