//! kaniko builds every stage before the target's unless told otherwise, and some pipelines run their tests in one.
//! Here nothing is built that nothing needs: whoever did not say which of the two they want is told.

use std::path::Path;

use imgmake_compat::plugin::job::Build;
use imgmake_dockerfile::{Dockerfile, Stage};
use imgmake_guard::checkout::Checkout;

/// A line about stages that run something and are left out; a Dockerfile with mistakes is the build's to tell.
pub(super) fn note(build: &Build, workspace: &Path) -> Option<String> {
    let checkout = Checkout::new([workspace.join(&build.context).as_path(), workspace]);
    let text = checkout.read(&workspace.join(&build.dockerfile)).ok()?;
    let names = left_out(&text, build)?;
    let (stages, are) = match names.as_slice() {
        [] => return None,
        [_] => ("the stage", "is"),
        _ => ("the stages", "are"),
    };
    Some(format!(
        "{stages} {} {are} not built, since the image does not need it; skip-unused-stages=false builds every stage",
        imgmake_guard::printable::list(&names)
    ))
}

fn left_out(text: &[u8], build: &Build) -> Option<Vec<String>> {
    let file = Dockerfile::parse(text).ok()?;
    let target = file.target(build.stage.as_deref()).ok()?;
    let mut needed = file.needed_by(target, &file.global_values(&build.args));
    for stage in &build.also_stages {
        needed.extend(file.target(Some(stage)).ok());
    }
    let earlier = file.stages.iter().enumerate().take(target);
    let idle = earlier.filter(|(number, stage)| !needed.contains(number) && stage.runs());
    let name = |(number, stage): (usize, &Stage)| match stage.name() {
        Some(name) => format!("`{name}`"),
        None => format!("{number}"),
    };
    Some(idle.map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_run_something_for_nobody_are_named() {
        let text = b"FROM a AS base\nFROM base AS test\nRUN t\nFROM base\nRUN u\nFROM b AS idle\nFROM base AS app\nFROM app AS later\nRUN v\n";
        let names = |stage: Option<&str>, also: &[&str]| {
            let build = Build {
                stage: stage.map(String::from),
                also_stages: also.iter().map(|s| s.to_string()).collect(),
                ..Build::default()
            };
            left_out(text, &build).unwrap()
        };
        assert_eq!(names(None, &[]), ["`test`", "2"]);
        assert_eq!(names(Some("app"), &["test"]), ["2"]);
        assert_eq!(names(Some("test"), &[]), Vec::<String>::new());
        assert_eq!(left_out(b"FORM x", &Build::default()), None);
    }
}
