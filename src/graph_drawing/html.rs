//! The graph as a page: the picture, and the state of each target with its reasons.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::state::{State, StateKind};
use super::svg::svg;
use crate::page::{self, escaped};
use crate::targets::kind_name;
use imgmake_core::graph::Graph;

/// Reasons of one target that are shown.
const MOST_REASONS: usize = 20;

const STYLE: &str = "\
.picture { overflow: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; margin: 16px 0 } .picture svg { display: block } \
.state { display: inline-block; border-radius: 10px; padding: 0 9px; font-size: 12px; line-height: 20px; color: #fff; white-space: nowrap } \
.state.fresh { background: var(--fresh) } .state.stale { background: var(--critical) } .state.always { background: var(--done) } \
.sum { display: flex; gap: 10px; margin-top: 10px } ul.reasons { margin: 0; padding: 0; list-style: none } ";

/// `states` are by the targets' names.
pub fn html(graph: &Graph, states: &BTreeMap<String, State>) -> String {
    let mut body = String::from("<h1>Targets</h1>\n<div class=\"sum\">");
    for kind in [StateKind::Stale, StateKind::Always, StateKind::UpToDate] {
        let count = states.values().filter(|state| state.kind == kind).count();
        if count > 0 {
            let _ = write!(
                body,
                "<span class=\"state {}\">{count} {}</span>",
                kind.class(),
                kind.word()
            );
        }
    }
    let _ = write!(
        body,
        "</div>\n<div class=\"picture\">\n{}</div>\n",
        svg(graph, states)
    );
    body.push_str(
        "<table>\n<tr><th>target</th><th>kind</th><th>state</th><th>why</th><th>needs</th></tr>\n",
    );
    for id in graph.ids() {
        let name = graph.name(id);
        let Some(state) = states.get(name) else {
            continue;
        };
        let mut needs: Vec<&str> = graph
            .dependencies(id)
            .iter()
            .map(|(need, _)| graph.name(*need))
            .collect();
        needs.sort_unstable();
        needs.dedup();
        let mut reasons: String = state
            .reasons
            .iter()
            .take(MOST_REASONS)
            .map(|reason| format!("<li>{}</li>", escaped(reason)))
            .collect();
        if state.reasons.len() > MOST_REASONS {
            let more = state.reasons.len() - MOST_REASONS;
            let _ = write!(reasons, "<li>and {more} more</li>");
        }
        let _ = writeln!(
            body,
            "<tr><td><b>{}</b></td><td class=\"dim\">{}</td><td><span class=\"state {}\">{}</span></td><td><ul class=\"reasons\">{reasons}</ul></td><td class=\"dim\">{}</td></tr>",
            escaped(name),
            kind_name(graph, id),
            state.kind.class(),
            state.kind.word(),
            escaped(&needs.join(", ")),
        );
    }
    body.push_str("</table>\n");
    page::whole("imgmake: targets", STYLE, &body)
}
