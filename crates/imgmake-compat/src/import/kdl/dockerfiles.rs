//! Dockerfiles that a bake file holds become files beside the manifest.

use super::words::beside;
use super::{Imported, Variable, Writer};

impl Writer<'_> {
    /// Their names and texts.
    pub(super) fn files(imported: &Imported) -> Vec<(String, String)> {
        let files = imported.inline.iter();
        let files = files.map(|inline| (beside(&inline.path), inline.text.clone()));
        files.collect()
    }

    /// No variable of a manifest reaches into a file: what depended on one is said.
    pub(super) fn dockerfiles(&mut self, imported: &Imported, marked: &[Imported]) {
        for inline in &imported.inline {
            let text = |all: &Imported| {
                let same = all.inline.iter().find(|other| other.path == inline.path);
                same.map(|other| other.text.clone())
            };
            let mut twins: Vec<Option<String>> = marked.iter().map(text).collect();
            let file = beside(&inline.path);
            let later = self.has_later.then(|| twins.pop()).flatten().flatten();
            if later.is_some_and(|later| later != inline.text) {
                self.notes.push(format!(
                    "`{file}` depends on the time, and holds that of the import"
                ));
            }
            let twins: Vec<String> = twins.into_iter().flatten().collect();
            if twins.iter().all(|twin| *twin == inline.text) {
                continue;
            }
            let names = self.variables.iter();
            let names = names.filter(|one| twins.iter().any(|twin| twin.contains(&one.mark)));
            let names: Vec<&Variable> = names.collect();
            let what = match names.is_empty() {
                true => "what expressions make of variables".to_string(),
                false => format!(
                    "the values of {}",
                    imgmake_guard::printable::list(names.iter().map(|one| &one.name))
                ),
            };
            self.notes.push(format!(
                "`{file}` holds {what}, and stays as it is when they change: write `ARG` there, and `args` in the manifest"
            ));
        }
    }
}
