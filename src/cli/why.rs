//! `why`: the reasons for which a target is not up to date. The texts of the reasons are where they are decided:
//! `execute/decide.rs`, `fingerprint/explanation.rs`, and what a target misses of its outputs in `targets/`.

use super::args::{Global, ListFormat, PlanArgs};
use super::environment::Environment;
use super::plan::{decide, show};
use super::plan_json;
use crate::exit::Exit;

pub fn why(
    global: &Global,
    args: &PlanArgs,
    format: ListFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    let target = &args.targets[0];
    let text = decide(
        global,
        args,
        environment,
        |project, _, actions, decisions| {
            if format == ListFormat::Json {
                return plan_json::text(project, actions, decisions, false);
            }
            let mut text = String::new();
            for decision in decisions.iter().filter(|d| !d.reasons.is_empty()) {
                let name = &actions[decision.action].target;
                if !decision.is_stale() {
                    text.push_str(&format!("{name} is run every time: it has no inputs\n"));
                    continue;
                }
                text.push_str(&format!("{name} is stale:\n"));
                for reason in &decision.reasons {
                    text.push_str(&format!("  {reason}\n"));
                }
            }
            if text.is_empty() {
                text = format!("{target} is up to date\n");
            }
            text
        },
    )?;
    show(&text, format)?;
    Ok(0)
}
