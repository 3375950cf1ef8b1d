//! Names of targets and groups, which share one name space in a manifest and two in a bake file.

use super::words::word;
use super::{Imported, Writer};

impl Writer<'_> {
    pub(super) fn names(&mut self, imported: &Imported) {
        for target in &imported.targets {
            let name = &target.name.value;
            let own = self.free(name);
            self.names.insert(name.clone(), own);
        }
        for (name, members) in &imported.groups {
            let Some(target) = self.names.get(name).cloned() else {
                let own = self.free(name);
                self.groups.insert(name.clone(), own);
                continue;
            };
            // A group of the target alone says nothing that the target does not.
            if members.iter().all(|member| member == name) {
                continue;
            }
            let own = self.free(&format!("{name}-all"));
            self.notes.push(format!(
                "`{name}` is a group and a target: here the target is `{target}`, and the group is `{own}`"
            ));
            self.groups.insert(name.clone(), own);
        }
    }

    /// A legal name that nothing has yet.
    pub(super) fn free(&self, name: &str) -> String {
        let mut legal = name.trim_start_matches(['_', '-']).to_string();
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
