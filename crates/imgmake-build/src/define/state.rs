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
    /// Every declared `ARG`, with its value while that is in force: an `ENV` of the name takes it away.
    pub args: Vec<(String, Option<String>)>,
    pub layers: Vec<Layer>,
    pub class: OwnershipClass,
    /// Some layer comes from a RUN of this build, with the times at which that ran.
    pub has_run_layer: bool,
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
            has_run_layer: false,
            platform,
            role: StageRole::default(),
            view: None,
        }
    }

    /// What expansion sees: of an ENV and an ARG of one name the later.
    pub fn variable(&self, name: &str) -> Option<String> {
        let declared = self.args.iter().find(|(n, _)| n == name);
        if let Some((_, Some(value))) = declared {
            return Some(value.clone());
        }
        let environment = &self.config.image.config;
        environment.env_value(name).map(str::to_string)
    }

    /// All of them, for an expansion that may not see what it is about to set.
    pub fn clone_variables(&self) -> std::collections::BTreeMap<String, String> {
        let environment = self.config.image.config.env.iter();
        let pairs = environment.filter_map(|pair| pair.split_once('='));
        let mut all: std::collections::BTreeMap<String, String> = pairs
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        for (name, value) in &self.args {
            if let Some(value) = value {
                all.insert(name.clone(), value.clone());
            }
        }
        all
    }

    /// An ARG. Without a value it changes nothing of what the name already has.
    pub fn declare(&mut self, name: &str, value: Option<String>) {
        match self.args.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = value.or_else(|| slot.1.take()),
            None => self.args.push((name.to_string(), value)),
        }
    }

    /// A stage that continues this one has its config's ENV first: an ARG that came after one of them wins no more.
    pub fn begin_again(&mut self) {
        let environment = &self.config.image.config.env;
        for (declared, value) in &mut self.args {
            let is_set = |pair: &String| pair.split_once('=').is_some_and(|(n, _)| n == declared);
            if environment.iter().any(is_set) {
                *value = None;
            }
        }
    }

    /// An ENV of that name: it counts from here on, until an ARG has a value for it again.
    pub fn supersede(&mut self, name: &str) {
        for (declared, value) in &mut self.args {
            if declared == name {
                *value = None;
            }
        }
    }
}
