//! What every part of one target's build works with, and the target's name, which is in each of its events.
//! Knows no helper process, no cache and no policy: see [`crate::Engine`] for those.

use std::path::PathBuf;
use std::sync::Arc;

use crate::checkouts::Checkouts;
use crate::pins::Pins;
use imgmake_core::files::StatCache;
use imgmake_event::{Cancel, Event, Events};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, OperationContext};

#[derive(Clone)]
pub struct TargetContext {
    pub target: String,
    pub store: Store,
    /// Where the whole output of a RUN that failed is kept.
    pub logs: Option<PathBuf>,
    pub registry: Client,
    pub git: imgmake_git::Client,
    pub checkouts: Checkouts,
    pub pins: Arc<dyn Pins>,
    pub stats: Arc<StatCache>,
    pub events: Events,
    pub cancel: Cancel,
}

impl TargetContext {
    /// The same for requests to a registry.
    pub fn operation(&self) -> OperationContext {
        OperationContext {
            target: self.target.clone(),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
        }
    }

    pub fn note(&self, message: String) {
        self.events.send(Event::Note {
            target: Some(self.target.clone()),
            message,
        });
    }

    pub fn warn(&self, message: String) {
        self.events.send(Event::Warning {
            target: Some(self.target.clone()),
            message,
        });
    }
}
