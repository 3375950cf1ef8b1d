//! Which stages of a file a stage is made of, as far as the text alone tells.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dockerfile, Instruction, Stage, StageReference};

impl Dockerfile {
    /// The ARGs before the first FROM: the build's arguments, else the defaults.
    pub fn global_values(&self, args: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut globals: BTreeMap<String, String> = BTreeMap::new();
        for declaration in self.global_args.iter().flat_map(|line| &line.value) {
            let lookup = |name: &str| globals.get(name).cloned();
            let default = || {
                let expanded = declaration.expand_default(&lookup, self.directives.escape);
                expanded.ok().flatten().map(|word| word.text)
            };
            if let Some(value) = args.get(&declaration.name).cloned().or_else(default) {
                globals.insert(declaration.name.clone(), value);
            }
        }
        globals
    }

    /// The image that a stage begins with, or the name of a stage; empty where that is a mistake.
    pub fn base_of(&self, stage: usize, globals: &BTreeMap<String, String>) -> String {
        let lookup = |name: &str| globals.get(name).cloned();
        let from = &self.stages[stage].from.value;
        let image = from.expand_image(&lookup, self.directives.escape);
        image.map(|word| word.text).unwrap_or_default()
    }

    /// The stage itself, its base, what `COPY --from` and mounts name, and so on down.
    pub fn needed_by(&self, stage: usize, globals: &BTreeMap<String, String>) -> BTreeSet<usize> {
        let stages = self.stage_names();
        let mut needed = BTreeSet::new();
        let mut ahead = vec![stage];
        while let Some(stage) = ahead.pop() {
            if !needed.insert(stage) {
                continue;
            }
            ahead.extend(stages.base(&self.base_of(stage, globals), stage));
            let names = self.stages[stage].origins();
            ahead.extend(
                names.filter_map(|name| match stages.reference(&name, stage) {
                    StageReference::Stage(number) => Some(number),
                    StageReference::NotYet(_) | StageReference::Other => None,
                }),
            );
        }
        needed
    }
}

impl Stage {
    /// What `COPY --from` and `RUN --mount=from=` name.
    pub fn origins(&self) -> impl Iterator<Item = String> {
        self.instructions
            .iter()
            .flat_map(|located| match &located.value {
                Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
                Instruction::Run(run) => {
                    let from = run.mounts.iter().filter_map(|mount| mount.from());
                    from.map(String::from).collect()
                }
                _ => Vec::new(),
            })
    }

    /// Whether something is executed in it.
    pub fn runs(&self) -> bool {
        let runs = |i: &super::Located<Instruction>| matches!(i.value, Instruction::Run(_));
        self.instructions.iter().any(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_needs_what_it_begins_with_copies_from_and_mounts() {
        let text = b"ARG LOW=base\nFROM a AS base\nFROM b AS tools\nFROM c AS test\nRUN t\n\
            FROM d AS mounted\nFROM $LOW AS middle\nRUN --mount=from=mounted,target=/m x\n\
            FROM middle\nCOPY --from=tools /a /b\nCOPY --from=image /a /c\nCOPY --from=5 /x /y\n";
        let file = Dockerfile::parse(text).unwrap();
        let needed = |args: &[(&str, &str)]| {
            let args = args.iter().map(|(k, v)| (k.to_string(), v.to_string()));
            let globals = file.global_values(&args.collect());
            file.needed_by(5, &globals).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(needed(&[]), [0, 1, 3, 4, 5]);
        assert_eq!(needed(&[("LOW", "test")]), [1, 2, 3, 4, 5]);
        let runs: Vec<bool> = file.stages.iter().map(Stage::runs).collect();
        assert_eq!(runs, [false, false, true, false, true, false]);
    }
}
