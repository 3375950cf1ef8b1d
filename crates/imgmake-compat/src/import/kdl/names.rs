//! Names of targets and groups, which share one name space in a manifest and two in a bake file.

use super::words::word;
use super::{Imported, Writer};

impl Writer<'_> {
    /// Who can keep its name does: a name that has to be made up takes none that is written.
    pub(super) fn names(&mut self, imported: &Imported) {
        let (keep, change) = (imported.targets.iter().map(|target| &target.name.value))
            .partition::<Vec<_>, _>(|name| is_legal(name));
        for name in keep {
            self.names.insert(name.clone(), name.clone());
        }
        let of_targets = |name: &String| imported.targets.iter().any(|one| one.name.value == *name);
        let groups = imported.groups.iter().filter(|(name, members)| {
            // A group of the target alone says nothing that the target does not.
            !(of_targets(name) && members.iter().all(|member| member == name))
        });
        let groups: Vec<&String> = groups.map(|(name, _)| name).collect();
        for name in &groups {
            if is_legal(name) && !self.is_taken(name) {
                self.groups.insert((*name).clone(), (*name).clone());
            }
        }
        for name in change {
            let own = self.free(name);
            self.notes.push(format!(
                "the target `{name}` is `{own}` here: names do not begin with `_` or `-`"
            ));
            self.names.insert(name.clone(), own);
        }
        for name in groups {
            if self.groups.contains_key(name) {
                continue;
            }
            let (own, note) = match self.names.get(name) {
                Some(target) => {
                    let own = self.free(&format!("{name}-all"));
                    let note = format!(
                        "`{name}` is a group and a target: here the target is `{target}`, and the group is `{own}`"
                    );
                    (own, note)
                }
                None => {
                    let own = self.free(name);
                    let why = match is_legal(name) {
                        true => "that name is taken",
                        false => "names do not begin with `_` or `-`",
                    };
                    let note = format!("the group `{name}` is `{own}` here: {why}");
                    (own, note)
                }
            };
            self.notes.push(note);
            self.groups.insert(name.clone(), own);
        }
    }

    /// A legal name that nothing has yet.
    pub(super) fn free(&self, name: &str) -> String {
        let mut legal = name.trim_start_matches(MAY_NOT_BEGIN).to_string();
        if legal.is_empty() {
            legal = "target".into();
        }
        while self.is_taken(&legal) {
            legal.push_str("-2");
        }
        legal
    }

    pub(super) fn is_taken(&self, name: &str) -> bool {
        let mut all = self.names.values().chain(self.groups.values());
        all.any(|taken| taken == name)
    }

    /// The name of a target here, in quotes where it has to have them.
    pub(super) fn name(&self, name: &str) -> String {
        word(self.names.get(name).map_or(name, String::as_str))
    }

    pub(super) fn groups(&mut self, imported: &Imported) {
        if !imported.groups.is_empty() {
            self.text.push('\n');
        }
        for (name, members) in &imported.groups {
            let Some(own) = self.groups.get(name) else {
                continue;
            };
            let members: Vec<String> = members.iter().map(|member| self.name(member)).collect();
            let line = format!("group {} {}", word(own), members.join(" "));
            self.line(0, &line);
        }
    }
}

const MAY_NOT_BEGIN: [char; 2] = ['_', '-'];

fn is_legal(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(MAY_NOT_BEGIN)
}
