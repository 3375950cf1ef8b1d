//! What the `imgmake` node says about trust: who shares cache mounts. No Dockerfile
//! can say it, since a Dockerfile is what the settings are about.

use serde::{Deserialize, Serialize};

use super::context::Cx;
use super::fields::Fields;
use super::tree::Node;

/// Who sees what a RUN wrote into a cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheMounts {
    /// Builds of the same project directory.
    #[default]
    Project,
    /// Every build of this user.
    User,
}

/// `cache-mounts scope=project`
pub(super) fn cache_mounts(node: &Node, cx: &Cx) -> CacheMounts {
    let mut fields = Fields::new(node, cx);
    let scope = fields.prop_text("scope");
    if scope.is_none() && cx.errors() == 0 {
        fields.missing("`scope=project` or `scope=user`");
    }
    fields.finish();
    match scope.and_then(|word| cx.choice(&word, &["project", "user"])) {
        Some("user") => CacheMounts::User,
        _ => CacheMounts::Project,
    }
}
