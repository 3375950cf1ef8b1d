//! How a run goes about its actions.

use imgmake_event::{Cancel, Events};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing new is started; what runs may finish.
    Stop,
    /// Everything that does not depend on it is still tried.
    KeepGoing,
    /// The same, until so many have failed.
    StopAfter(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    Fresh,
    /// Every action is run, whatever the state says.
    Ignore,
}

#[derive(Clone)]
pub struct Options {
    pub jobs: usize,
    /// How many actions of each pool work at the same time; at least one.
    pub pools: Vec<usize>,
    pub on_failure: OnFailure,
    pub cache: CacheUse,
    pub events: Events,
    pub cancel: Cancel,
}
