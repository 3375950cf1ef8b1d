//! What a stage has become so far: configuration, arguments, and layers by name.

use crate::define::config::Configuring;
use imgmake_oci::image::Platform;
use imgmake_oci::layer::{Layer, View};
use imgmake_sandbox::IsolationMode;

/// Whether steps of this stage end up in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StageRole {
    #[default]
    Final,
    Intermediate,
}

/// Whether owners in RUN's layers can be trusted: a single-id sandbox gives everything to root.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum OwnershipClass {
    #[default]
    Full,
    SingleId,
}

impl OwnershipClass {
    pub fn of(isolation: IsolationMode) -> OwnershipClass {
        match isolation {
            IsolationMode::SingleId => OwnershipClass::SingleId,
            _ => OwnershipClass::Full,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            OwnershipClass::Full => "full",
            OwnershipClass::SingleId => "squashed",
        }
    }
}

/// A stage after some of its instructions.
#[derive(Clone)]
pub struct ImageState {
    pub config: Configuring,
    /// `ARG`s in force: name, value if there is one.
    pub args: Vec<(String, Option<String>)>,
    pub layers: Vec<Layer>,
    pub class: OwnershipClass,
    /// Some layer comes from a RUN of this build, with the times at which that ran.
    pub ran: bool,
    pub platform: Platform,
    /// Whether what the stage makes is part of the image.
    pub role: StageRole,
    /// The merged tree of the layers, once something has read it.
    pub view: Option<View>,
}

impl ImageState {
    pub fn new(config: Configuring, layers: Vec<Layer>, platform: Platform) -> ImageState {
        ImageState {
            config,
            args: Vec::new(),
            layers,
            class: OwnershipClass::Full,
            ran: false,
            platform,
            role: StageRole::default(),
            view: None,
        }
    }

    /// What expansion sees: ENV before ARG.
    pub fn variable(&self, name: &str) -> Option<String> {
        if let Some(value) = self.config.image.config.env_value(name) {
            return Some(value.to_string());
        }
        let arg = self.args.iter().rev().find(|(n, _)| n == name)?;
        arg.1.clone()
    }

    /// All of them, for an expansion that may not see what it is about to set.
    pub fn clone_variables(&self) -> std::collections::BTreeMap<String, String> {
        let mut all: std::collections::BTreeMap<String, String> = self
            .args
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
            .collect();
        for pair in &self.config.image.config.env {
            if let Some((name, value)) = pair.split_once('=') {
                all.insert(name.to_string(), value.to_string());
            }
        }
        all
    }

    pub fn declare(&mut self, name: &str, value: Option<String>) {
        match self.args.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = value,
            None => self.args.push((name.to_string(), value)),
        }
    }
}
