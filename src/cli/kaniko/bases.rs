//! The images that a Dockerfile names: their registries may need credentials or
//! settings of their own, so they are wanted before anything is pulled.

use std::collections::BTreeMap;

use crate::dockerfile::{Dockerfile, Instruction, StageReference};

/// Names after `FROM`, `COPY --from` and `RUN --mount=from=`, stages left out.
/// A Dockerfile with mistakes names nothing: the build will tell them.
pub fn names(text: &[u8], args: &BTreeMap<String, String>) -> Vec<String> {
    let Ok(file) = Dockerfile::parse(text) else {
        return Vec::new();
    };
    let globals = globals(&file, args);
    let lookup = |name: &str| globals.get(name).cloned();
    let mut names: Vec<String> = Vec::new();
    for (at, stage) in file.stages.iter().enumerate() {
        let image = stage
            .from
            .value
            .expand_image(&lookup, file.directives.escape);
        let image = image.map(|word| word.text).unwrap_or_default();
        if file.base_stage(&image, at).is_none() {
            names.push(image);
        }
        let origins = stage.instructions.iter().flat_map(|i| origins(&i.value));
        names.extend(
            origins.filter(|name| matches!(file.stage_reference(name, at), StageReference::Other)),
        );
    }
    names.retain(|name| !name.is_empty() && name != "scratch");
    names.sort();
    names.dedup();
    names
}

fn origins(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => {
            let from = run.mounts.iter().filter_map(|mount| mount.from());
            from.map(String::from).collect()
        }
        _ => Vec::new(),
    }
}

/// What FROM lines can refer to: the build's arguments, else the defaults.
fn globals(file: &Dockerfile, args: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut globals: BTreeMap<String, String> = BTreeMap::new();
    for declaration in file.global_args.iter().flat_map(|line| &line.value) {
        let lookup = |name: &str| globals.get(name).cloned();
        let default = || {
            let expanded = declaration.expand_default(&lookup, file.directives.escape);
            expanded.ok().flatten().map(|word| word.text)
        };
        if let Some(value) = args.get(&declaration.name).cloned().or_else(default) {
            globals.insert(declaration.name.clone(), value);
        }
    }
    globals
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
