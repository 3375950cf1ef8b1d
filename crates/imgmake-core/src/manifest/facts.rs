//! What interpolation may use beside the manifest itself.

use std::collections::BTreeMap;

/// Facts that interpolation may use; the cli gathers them.
#[derive(Clone, Default)]
pub struct Facts {
    /// `--var NAME=VALUE`, in order.
    pub vars: Vec<(String, String)>,
    pub environment: BTreeMap<String, String>,
    /// `sha`, `short`, `branch`, `tag` of the checkout, as far as there are any.
    pub git: BTreeMap<String, String>,
    /// `--set pattern.key[.sub]=value`, in order.
    pub sets: Vec<String>,
}

/// Names only: an environment holds secrets.
impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let vars: Vec<&str> = self.vars.iter().map(|(name, _)| name.as_str()).collect();
        let environment: Vec<&String> = self.environment.keys().collect();
        f.debug_struct("Facts")
            .field("vars", &vars)
            .field("environment", &environment)
            .finish_non_exhaustive()
    }
}
