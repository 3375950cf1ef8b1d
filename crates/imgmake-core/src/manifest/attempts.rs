//! How long and how often the work of a target is tried, and pools in which targets take places.

use std::collections::BTreeMap;

use super::context::DecodeContext;
use super::fields::Fields;
use super::tree::Node;
use super::types::{Attempts, Spanned};

/// `timeout "20m"; retry 2`
pub(super) fn attempts(fields: &mut Fields) -> Attempts {
    let cx = fields.cx;
    let retries = fields.integer("retry", 0..=100);
    // Commands and scans read a limit of their own.
    let timeout = match fields.node.name.value.as_str() {
        "build" | "push" => fields.child("timeout"),
        _ => None,
    };
    let timeout = timeout.and_then(|node| {
        let mut inner = Fields::new(node, cx);
        let value = inner.required("a duration");
        inner.finish();
        let value = value?;
        Some(Spanned {
            value: cx.duration(value)?,
            span: value.span,
        })
    });
    Attempts {
        timeout,
        retries: retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    }
}

/// `pool registry=4 database=1`
pub(super) fn pools<'n>(
    nodes: impl Iterator<Item = &'n Node>,
    cx: &DecodeContext,
) -> BTreeMap<String, usize> {
    let mut pools = BTreeMap::new();
    for node in nodes {
        let mut fields = Fields::new(node, cx);
        let props = fields.any_props();
        if props.is_empty() {
            fields.missing("a name and a number, such as `registry=4`");
        }
        for (name, value) in props {
            let Some(places) = cx.integer(value, 1..=4096) else {
                continue;
            };
            let places = usize::try_from(places).unwrap_or(usize::MAX);
            if pools.insert(name.value.clone(), places).is_some() {
                let message = format!("duplicate pool `{}`", name.value);
                cx.error(name.span, message, "the second one");
            }
        }
        fields.finish();
    }
    pools
}
