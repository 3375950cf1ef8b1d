//! How a run goes about its actions.

use imgmake_event::{Cancel, Events};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing new is started; what runs may finish.
    Stop,
    /// Everything that does not depend on it is still tried.
    KeepGoing,
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
    pub on_failure: OnFailure,
    pub cache: CacheUse,
    pub events: Events,
    pub cancel: Cancel,
}
