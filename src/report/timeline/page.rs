//! The timeline as a page.

use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

use super::super::human::duration;
use super::critical::{self, Link};
use super::record::{Outcome, Part, PartState, Span, TargetSpan, Timeline, What};
use super::totals;
use super::trace::Rows;
use crate::page::{self, escaped};

/// Targets in the timeline; those that took least are counted.
const MOST_TARGETS: usize = 1500;

/// Steps that are shown of one target, and of all before they are folded.
const MOST_PARTS: usize = 300;
const MOST_OPEN: usize = 400;

const STYLE: &str = "\
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 0; padding: 0 } \
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px; min-width: 130px } \
.card b { display: block; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums } .card span { color: var(--dim); font-size: 12px } \
.chain { display: flex; height: 30px; border-radius: 6px; overflow: hidden; background: var(--card); border: 1px solid var(--line) } \
.chain div { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; font-size: 12px; line-height: 28px; padding: 0 8px; color: #fff; background: var(--critical); border-right: 1px solid var(--page); min-width: 3px } \
.chain .narrow { padding: 0; color: transparent } .chain .wait { background: none; color: var(--dim); border-right: 0 } \
ol.path { margin: 10px 0 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 2px 6px } ol.path li:not(:last-child)::after { content: ' \\2192'; color: var(--dim) } \
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 12px; color: var(--dim); margin: 0 0 8px } \
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; vertical-align: -2px } \
.row { display: grid; grid-template-columns: 240px 1fr 84px; align-items: center; min-height: 26px } \
.row:hover { background: var(--card) } \
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; padding-right: 12px } .name small { color: var(--dim); margin-left: 6px } \
.critical > .row .name, .row.critical .name { font-weight: 600 } \
.track { position: relative; height: 100%; background-image: linear-gradient(to right, var(--line) 1px, transparent 1px); background-size: var(--grid) 100%; border-right: 1px solid var(--line) } \
.bar { position: absolute; top: 5px; height: 16px; border-radius: 4px; min-width: 2px; background: var(--done) } \
.part .bar { top: 3px; height: 10px; border-radius: 3px; opacity: .85 } .row.part { min-height: 16px; font-size: 12px; color: var(--dim) } .part .name { padding-left: 18px } \
.critical .target .bar { outline: 2px solid var(--critical); outline-offset: 1px } \
.bar.cached { background: var(--cached) } .bar.failed { background: var(--failed) } .bar.stopped, .bar.open { background: var(--stopped) } .bar.pull { background: var(--pull) } .bar.push { background: var(--push) } \
.time { text-align: right; font-variant-numeric: tabular-nums; font-size: 12px; padding-left: 8px; white-space: nowrap } \
.axis { font-size: 11px; color: var(--dim) } .axis .track { background: none; height: 18px; border: 0 } .axis .track span { position: absolute; transform: translateX(-50%); white-space: nowrap } .axis .track span:first-child { transform: none } \
details > summary { list-style: none; cursor: pointer } details > summary::-webkit-details-marker { display: none } details > summary .name::before { content: '\\25B8\\00a0'; color: var(--dim) } details[open] > summary .name::before { content: '\\25BE\\00a0' } \
.plain .name { padding-left: 14px } \
.share { background: var(--card); border-radius: 4px; height: 12px; min-width: 200px } .share div { background: var(--done); height: 12px; border-radius: 4px; min-width: 1px } \
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(520px, 1fr)); gap: 0 40px } ul.fresh { columns: 4; margin: 8px 0 0; padding: 0; list-style: none; font-size: 13px } ";

pub(super) fn html(timeline: &Timeline) -> String {
    let path = critical::path(timeline);
    let mut body = String::new();
    let _ = write!(
        body,
        "<h1>imgmake run</h1>\n<div class=\"dim\">{}</div>\n",
        escaped(&timeline.began_at)
    );
    cards(&mut body, timeline, &path);
    critical_path(&mut body, timeline, &path);
    rows(&mut body, timeline, &path);
    where_time_went(&mut body, timeline);
    let title = format!(
        "imgmake: {} in {}",
        match timeline.targets.len() {
            1 => "1 target".to_string(),
            count => format!("{count} targets"),
        },
        duration(timeline.total)
    );
    page::whole(&title, STYLE, &body)
}

fn cards(body: &mut String, timeline: &Timeline, path: &[Link]) {
    let count = |outcome: Outcome| {
        let targets = timeline.targets.iter();
        targets.filter(|target| target.outcome == outcome).count()
    };
    let parts = || timeline.targets.iter().flat_map(|target| &target.parts);
    let steps = parts().filter(|part| matches!(part.what, What::Step { .. }));
    let cached = parts()
        .filter(|part| part.state == PartState::Cached)
        .count();
    let work: Duration = timeline.targets.iter().filter_map(took).sum();
    let on_path: Duration = path.iter().map(|link| link.span.took()).sum();
    let at_once = match timeline.total.is_zero() {
        true => 0.0,
        false => work.as_secs_f64() / timeline.total.as_secs_f64(),
    };
    body.push_str("<div class=\"cards\">\n");
    let mut card = |value: String, what: &str| {
        let _ = writeln!(
            body,
            "<div class=\"card\"><b>{value}</b><span>{what}</span></div>"
        );
    };
    card(duration(timeline.total), "from start to end");
    card(duration(on_path), "on the critical path");
    card(format!("{at_once:.1}"), "targets at once, on average");
    card(count(Outcome::Done).to_string(), "targets done");
    card(count(Outcome::UpToDate).to_string(), "up to date");
    let failed = count(Outcome::Failed);
    if failed > 0 {
        card(failed.to_string(), "failed");
    }
    let others = count(Outcome::Skipped) + count(Outcome::Cancelled) + count(Outcome::Open);
    if others > 0 {
        card(others.to_string(), "skipped or stopped");
    }
    card(
        format!("{cached} of {}", steps.count()),
        "steps from the cache",
    );
    body.push_str("</div>\n");
}

fn critical_path(body: &mut String, timeline: &Timeline, path: &[Link]) {
    if path.is_empty() {
        body.push_str("<p class=\"dim\">There was nothing to do.</p>\n");
        return;
    }
    body.push_str(
        "<h2>Critical path</h2>\n<p class=\"dim\">The chain of targets that determined how long the run took: if one of these is faster, the run is faster.</p>\n<div class=\"chain\">\n",
    );
    let whole = path.last().map_or(Duration::ZERO, |link| link.span.end);
    for link in path {
        let name = escaped(&timeline.targets[link.target].name);
        let waited = share(link.waited, whole);
        if waited >= 0.5 {
            let text = if waited > 8.0 { "waited" } else { "" };
            let _ = writeln!(
                body,
                "<div class=\"wait\" style=\"width:{waited:.2}%\" title=\"waited {}\">{text}</div>",
                duration(link.waited)
            );
        }
        let took = duration(link.span.took());
        let width = share(link.span.took(), whole);
        let class = if width < 3.0 { " class=\"narrow\"" } else { "" };
        let _ = writeln!(
            body,
            "<div{class} style=\"width:{width:.2}%\" title=\"{name}: {took}\">{name} · {took}</div>",
        );
    }
    body.push_str("</div>\n<ol class=\"path\">\n");
    for link in path {
        let waited = match link.waited >= Duration::from_millis(20) {
            true => format!(", after waiting {}", duration(link.waited)),
            false => String::new(),
        };
        let _ = writeln!(
            body,
            "<li><b>{}</b> <span class=\"dim\">{}{waited}</span></li>",
            escaped(&timeline.targets[link.target].name),
            duration(link.span.took())
        );
    }
    body.push_str("</ol>\n");
}

fn took(target: &TargetSpan) -> Option<Duration> {
    target.span.map(Span::took)
}

/// The rows, in the order in which the targets began.
fn rows(body: &mut String, timeline: &Timeline, path: &[Link]) {
    let ran = (0..timeline.targets.len()).filter(|at| timeline.targets[*at].span.is_some());
    let mut ran: Vec<usize> = ran.collect();
    ran.sort_by_key(|at| std::cmp::Reverse(took(&timeline.targets[*at])));
    let left_out = ran.len().saturating_sub(MOST_TARGETS);
    ran.truncate(MOST_TARGETS);
    ran.sort_by_key(|at| timeline.targets[*at].span.map(|span| span.start));
    if !ran.is_empty() {
        body.push_str("<h2>Timeline</h2>\n<div class=\"legend\">");
        for (color, word) in [
            ("done", "done"),
            ("cached", "from the cache"),
            ("failed", "failed"),
            ("pull", "download"),
            ("push", "upload"),
            ("critical", "critical path"),
        ] {
            let _ = write!(
                body,
                "<span><i style=\"background:var(--{color})\"></i>{word}</span>"
            );
        }
        body.push_str("</div>\n");
        axis(body, timeline.total);
    }
    let shown: usize = ran.iter().map(|at| timeline.targets[*at].parts.len()).sum();
    let critical: HashSet<usize> = path.iter().map(|link| link.target).collect();
    for at in ran {
        let is_critical = critical.contains(&at);
        row(
            body,
            timeline,
            &timeline.targets[at],
            is_critical,
            shown <= MOST_OPEN,
        );
    }
    if left_out > 0 {
        let _ = writeln!(
            body,
            "<p class=\"dim\">and {left_out} more targets, which took less than these</p>"
        );
    }
    if timeline.left_out > 0 {
        let _ = writeln!(
            body,
            "<p class=\"dim\">{} more steps and transfers were not recorded</p>",
            timeline.left_out
        );
    }
    for (outcome, title) in [
        (Outcome::UpToDate, "Up to date"),
        (Outcome::Skipped, "Skipped"),
        (Outcome::Cancelled, "Stopped before they began"),
    ] {
        idle(body, timeline, outcome, title);
    }
}

/// Targets that were not begun, by name.
fn idle(body: &mut String, timeline: &Timeline, outcome: Outcome, title: &str) {
    let targets = timeline.targets.iter();
    let idle = targets.filter(|target| target.span.is_none() && target.outcome == outcome);
    let names: Vec<String> = idle.map(|target| escaped(&target.name)).collect();
    if names.is_empty() {
        return;
    }
    let _ = writeln!(
        body,
        "<h2>{title}</h2>\n<ul class=\"fresh\">{}</ul>",
        names
            .iter()
            .take(MOST_TARGETS)
            .fold(String::new(), |mut text, name| {
                let _ = write!(text, "<li>{name}</li>");
                text
            })
    );
    if names.len() > MOST_TARGETS {
        let _ = writeln!(
            body,
            "<p class=\"dim\">and {} more</p>",
            names.len() - MOST_TARGETS
        );
    }
}

fn row(
    body: &mut String,
    timeline: &Timeline,
    target: &TargetSpan,
    is_critical: bool,
    is_open: bool,
) {
    let Some(span) = target.span else { return };
    let class = match target.outcome {
        Outcome::Failed => " failed",
        Outcome::Cancelled => " stopped",
        Outcome::Open => " open",
        _ => "",
    };
    let why = match target.reasons.first() {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    let title = escaped(&format!(
        "{} ({}) {} in {}{why}",
        target.name,
        target.kind,
        target.outcome.word(),
        duration(span.took())
    ));
    let own = format!(
        "<div class=\"name\" title=\"{title}\">{}<small>{}</small></div><div class=\"track\"><div class=\"bar{class}\" style=\"{}\" title=\"{title}\"></div></div><div class=\"time\">{}</div>",
        escaped(&target.name),
        target.kind,
        place(span, timeline.total),
        duration(span.took())
    );
    let critical = if is_critical { " critical" } else { "" };
    if target.parts.is_empty() {
        let _ = writeln!(
            body,
            "<div class=\"target-row plain{critical}\"><div class=\"row target\">{own}</div></div>"
        );
        return;
    }
    let open = if is_open { " open" } else { "" };
    let _ = writeln!(
        body,
        "<details class=\"target-row{critical}\"{open}><summary class=\"row target\">{own}</summary>"
    );
    parts(body, timeline, target);
    body.push_str("</details>\n");
}

/// A row for each step; downloads and uploads share rows, since there are many.
fn parts(body: &mut String, timeline: &Timeline, target: &TargetSpan) {
    let is_step = |part: &&Part| matches!(part.what, What::Step { .. });
    let mut steps: Vec<&Part> = target.parts.iter().filter(is_step).collect();
    let left_out = steps.len().saturating_sub(MOST_PARTS);
    steps.truncate(MOST_PARTS);
    for step in steps {
        let What::Step { stage } = &step.what else {
            continue;
        };
        let stage = match stage.is_empty() {
            true => String::new(),
            false => format!("{stage}: "),
        };
        let title = escaped(&format!(
            "{stage}{} ({} in {})",
            step.text,
            step.state.word(),
            duration(step.span.took())
        ));
        let time = match step.state {
            PartState::Cached => "cached".to_string(),
            _ => duration(step.span.took()),
        };
        let _ = writeln!(
            body,
            "<div class=\"row part\"><div class=\"name\" title=\"{title}\"><code>{}</code></div><div class=\"track\">{}</div><div class=\"time\">{time}</div></div>",
            escaped(&step.text),
            bar(step, &title, timeline.total),
        );
    }
    if left_out > 0 {
        let _ = writeln!(
            body,
            "<div class=\"row part\"><div class=\"name\">and {left_out} more steps</div></div>"
        );
    }
    for (what, word) in [(What::Pull, "downloads"), (What::Push, "uploads")] {
        let mut rows = Rows::default();
        let mut bars: Vec<String> = Vec::new();
        let transfers = target.parts.iter().filter(|part| part.what == what);
        for part in transfers.take(MOST_PARTS) {
            let (row, _) = rows.place(part.span);
            bars.resize(bars.len().max(row), String::new());
            let title = escaped(&format!("{} in {}", part.text, duration(part.span.took())));
            bars[row - 1].push_str(&bar(part, &title, timeline.total));
        }
        for (at, bars) in bars.iter().enumerate() {
            let word = if at == 0 { word } else { "" };
            let _ = writeln!(
                body,
                "<div class=\"row part\"><div class=\"name\">{word}</div><div class=\"track\">{bars}</div><div class=\"time\"></div></div>"
            );
        }
    }
}

fn bar(part: &Part, title: &str, total: Duration) -> String {
    let class = match (&part.what, part.state) {
        (_, PartState::Failed) => " failed",
        (_, PartState::Cancelled) => " stopped",
        (_, PartState::Cached) => " cached",
        (What::Pull, _) => " pull",
        (What::Push, _) => " push",
        (What::Step { .. }, PartState::Open) => " open",
        (What::Step { .. }, PartState::Done) => "",
    };
    format!(
        "<div class=\"bar{class}\" style=\"{}\" title=\"{title}\"></div>",
        place(part.span, total)
    )
}

fn place(span: Span, total: Duration) -> String {
    format!(
        "left:{:.3}%;width:{:.3}%",
        share(span.start, total).min(99.8),
        share(span.took(), total)
    )
}

/// Of a hundred.
fn share(part: Duration, whole: Duration) -> f64 {
    match whole.is_zero() {
        true => 0.0,
        false => (part.as_secs_f64() / whole.as_secs_f64() * 100.0).min(100.0),
    }
}

/// Round times, at most ten of them, and the width of the grid.
fn axis(body: &mut String, total: Duration) {
    let step = tick(total);
    let width = share(step, total);
    let _ = write!(
        body,
        "<style>:root {{ --grid: {width:.4}% }}</style>\n<div class=\"row axis\"><div></div><div class=\"track\">"
    );
    let mut at = Duration::ZERO;
    while at <= total {
        let _ = write!(
            body,
            "<span style=\"left:{:.3}%\">{}</span>",
            share(at, total),
            match at.is_zero() {
                true => "0".to_string(),
                false => duration(at),
            }
        );
        at += step;
    }
    body.push_str("</div><div></div></div>\n");
}

fn tick(total: Duration) -> Duration {
    let steps = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000,
    ];
    let steps = steps.into_iter().map(Duration::from_millis);
    let minutes = (2..).map(|n| Duration::from_secs(60 * n * n));
    steps
        .chain(minutes)
        .find(|step| total <= *step * 8)
        .unwrap_or(total)
}

fn where_time_went(body: &mut String, timeline: &Timeline) {
    let kinds = totals::by_kind(timeline);
    if kinds.is_empty() {
        return;
    }
    let longest = kinds
        .first()
        .map_or(Duration::ZERO, |(_, total)| total.took);
    body.push_str("<div class=\"columns\">\n<section>\n<h2>Time by kind of work</h2>\n<table><tr><th>work</th><th></th><th class=\"number\">time</th><th class=\"number\">number</th><th class=\"number\">cached</th></tr>\n");
    for (name, total) in &kinds {
        let cached = match total.cached {
            0 => String::new(),
            n => n.to_string(),
        };
        let _ = writeln!(
            body,
            "<tr><td>{}</td><td><div class=\"share\"><div style=\"width:{:.2}%\"></div></div></td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{cached}</td></tr>",
            escaped(name),
            share(total.took, longest),
            duration(total.took),
            total.count,
        );
    }
    body.push_str(
        "</table>\n<p class=\"dim\">Times of work at the same time are added.</p>\n</section>\n",
    );
    let steps = totals::longest(timeline, 12);
    if !steps.is_empty() {
        body.push_str("<section>\n<h2>Longest steps</h2>\n<table><tr><th>target</th><th>step</th><th class=\"number\">time</th></tr>\n");
        for (target, part) in steps {
            let text: String = part.text.chars().take(120).collect();
            let _ = writeln!(
                body,
                "<tr><td>{}</td><td><code>{}</code></td><td class=\"number\">{}</td></tr>",
                escaped(&target.name),
                escaped(&text),
                duration(part.span.took())
            );
        }
        body.push_str("</table>\n</section>\n");
    }
    body.push_str("</div>\n");
}
