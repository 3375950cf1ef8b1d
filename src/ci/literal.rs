//! Words in which a system would find expressions of its own. GitHub's can be written as text:
//! those of Tekton and Argo cannot.

use super::error::CiError;
use super::jobs::{Pipeline, SecretKind};
use super::options::{Options, System};

const ELSEWHERE: &str =
    "write it without that, or give the value as a variable of the jobs: `--env NAME=VALUE`";
const UNKNOWN: &str = "the exported file does not declare this name: write the value itself, or a variable of the run";

/// # Errors
/// A word of a job would not reach it as it is.
pub fn check(pipeline: &Pipeline, system: System, options: &Options) -> Result<(), CiError> {
    let words: fn(&str) -> Option<String> = match system {
        System::Tekton => tekton,
        System::Argo => argo,
        System::Github | System::Gitlab => return Ok(()),
    };
    let check = |place: String, text: &str, found: Option<String>, help| match found {
        Some(expression) => Err(CiError::Replaced {
            system: system.title(),
            expression,
            place,
            text: text.to_string(),
            help,
        }),
        None => Ok(()),
    };
    for text in &options.arguments {
        check("an argument".into(), text, words(text), ELSEWHERE)?;
    }
    for job in &pipeline.jobs {
        let text = &job.target;
        check("the name of a target".into(), text, words(text), ELSEWHERE)?;
        for secret in &job.secrets {
            if let SecretKind::File(text) = &secret.kind {
                let place = format!("the file of secret `{}`", secret.name);
                check(place, text, words(text), ELSEWHERE)?;
            }
        }
    }
    // What is written as it is may name what the run has, and nothing else.
    let unknown = |text: &str| match system {
        System::Tekton => reference(text, &["params", "tasks"]),
        _ => unknown_tag(text),
    };
    let given = options.variables.iter();
    let given = given.map(|(name, value)| (format!("`--env {name}`"), value));
    let others = [("`--cache`", &options.cache), ("`--image`", &options.image)];
    let others = others
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.as_ref()?)));
    for (place, text) in given.chain(others) {
        check(place, text, unknown(text), UNKNOWN)?;
    }
    Ok(())
}

fn tekton(text: &str) -> Option<String> {
    const NAMES: [&str; 11] = [
        "context",
        "credentials",
        "finally",
        "inputs",
        "outputs",
        "params",
        "results",
        "step",
        "steps",
        "tasks",
        "workspaces",
    ];
    reference(text, &NAMES)
}

/// `$(name.` or `$(name[`
fn reference(text: &str, names: &[&str]) -> Option<String> {
    text.match_indices("$(").find_map(|(at, _)| {
        let rest = &text[at + 2..];
        let end = rest.find(['.', '['])?;
        let is_known = names.contains(&&rest[..end]);
        is_known.then(|| text[at..at + 2 + end + 1].to_string())
    })
}

/// Kubernetes itself replaces variables in arguments of containers.
fn argo(text: &str) -> Option<String> {
    let found = ["{{", "$(", "$$"].iter().find(|own| text.contains(**own))?;
    Some((*found).to_string())
}

/// A tag of Argo's that is no fact of the workflow or its pod.
fn unknown_tag(text: &str) -> Option<String> {
    const KNOWN: [&str; 4] = ["workflow.", "pod.", "node.", "="];
    let is_unknown = |at: usize| {
        let rest = text[at + 2..].trim_start();
        !KNOWN.iter().any(|known| rest.starts_with(known))
    };
    let mut tags = text.match_indices("{{");
    tags.any(|(at, _)| is_unknown(at)).then(|| "{{".to_string())
}
