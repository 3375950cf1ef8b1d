//! The images that a Dockerfile names: their registries may need credentials or
//! settings of their own, so they are wanted before anything is pulled.

use std::collections::BTreeMap;

use imgmake_compat::Step;
use imgmake_compat::step::Transport;
use imgmake_dockerfile::{Dockerfile, StageReference};

/// Names after `FROM`, `COPY --from` and `RUN --mount=from=`, stages left out.
/// A Dockerfile with mistakes names nothing: the build will tell them.
pub fn names(text: &[u8], args: &BTreeMap<String, String>) -> Vec<String> {
    let Ok(file) = Dockerfile::parse(text) else {
        return Vec::new();
    };
    let globals = file.global_values(args);
    let mut names: Vec<String> = Vec::new();
    for (at, stage) in file.stages.iter().enumerate() {
        let image = file.base_of(at, &globals);
        if file.base_stage(&image, at).is_none() {
            names.push(image);
        }
        names.extend(
            stage
                .origins()
                .filter(|name| matches!(file.stage_reference(name, at), StageReference::Other)),
        );
    }
    names.retain(|name| !name.is_empty() && name != "scratch");
    names.sort();
    names.dedup();
    names
}

/// The step with what it says of base images' registries. What is wrong in the Dockerfile, the build reports.
pub fn with_bases(step: Step, read: &dyn Fn(&str) -> std::io::Result<String>) -> Step {
    if step.preparations.base_transport == Transport::default() {
        return step;
    }
    let images = step.build().and_then(|build| {
        let path = build.dockerfile()?;
        let args = build.args.iter();
        let args = args.map(|(name, arg)| (name.clone(), arg.value.clone()));
        let text = read(&path.value).ok()?;
        Some(names(text.as_bytes(), &args.collect()))
    });
    step.with_bases(&images.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_and_stages_are_not() {
        let file = b"ARG HOST=reg.io\nARG TAG=$NONE\nFROM $HOST/base:1 AS base\nFROM base\nCOPY --from=base /a /a\n\
            COPY --from=tools.io/t:2 /a /b\nRUN --mount=type=bind,from=mount.io/m true\nFROM scratch\n";
        assert_eq!(
            names(file, &BTreeMap::new()),
            ["mount.io/m", "reg.io/base:1", "tools.io/t:2"]
        );
        let args = BTreeMap::from([("HOST".to_string(), "other.io".to_string())]);
        assert!(names(file, &args).contains(&"other.io/base:1".to_string()));
    }

    #[test]
    fn a_broken_dockerfile_names_nothing() {
        assert!(names(b"FORM x\n\xff", &BTreeMap::new()).is_empty());
    }
}
