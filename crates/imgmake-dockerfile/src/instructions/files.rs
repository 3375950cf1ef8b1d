//! COPY and ADD.

use super::*;

impl Request<'_> {
    pub(super) fn copy(mut self) -> Result<Instruction> {
        let from = self.flags.text("from")?;
        if let Some(from) = &from {
            reject_variable(from)?;
        }
        let copy = Copy {
            from,
            chown: self.flags.text("chown")?,
            chmod: self.flags.text("chmod")?,
            link: self.flags.truth("link")?.unwrap_or(false),
            parents: self.flags.truth("parents")?.unwrap_or(false),
            exclude: self.flags.texts("exclude")?,
            files: self.files()?,
        };
        self.flags.finish()?;
        if let Some(path) = copy.files.paths().find(|p| is_url(p)) {
            let mistake = Mistake::unusable("COPY", format!("cannot fetch `{path}`"));
            return Err(mistake.in_word(path).help("ADD can"));
        }
        Ok(Instruction::Copy(copy))
    }

    pub(super) fn add(mut self) -> Result<Instruction> {
        let add = Add {
            chown: self.flags.text("chown")?,
            chmod: self.flags.text("chmod")?,
            checksum: self.flags.text("checksum")?,
            link: self.flags.truth("link")?.unwrap_or(false),
            keep_git_dir: self.flags.truth("keep-git-dir")?,
            unpack: self.flags.truth("unpack")?,
            exclude: self.flags.texts("exclude")?,
            files: self.files()?,
        };
        self.flags.finish()?;
        if add.checksum.is_some() && add.files.sources.len() != 1 {
            let mistake = Mistake::missing("--checksum", "exactly one source");
            return Err(mistake.in_word("--checksum"));
        }
        Ok(Instruction::Add(add))
    }

    fn files(&self) -> Result<Files> {
        let WordList { mut words, form } = self.list()?;
        let missing = |request: &Self| {
            let example = format!("write {} source destination", request.name);
            request.needs("a source and a destination").help(example)
        };
        let destination = words.pop().ok_or_else(|| missing(self))?;
        if words.is_empty() {
            return Err(missing(self));
        }
        let files = Files {
            sources: self.sources(words, form)?,
            destination,
            form,
        };
        self.check(&files)?;
        Ok(files)
    }

    fn sources(&self, words: Vec<String>, form: ListForm) -> Result<Vec<Source>> {
        let mut bodies = self.heredocs.iter();
        let sources = words.into_iter().map(|word| {
            let opens = form == ListForm::Words && Heredoc::from_word(&word).is_some();
            match opens.then(|| bodies.next()).flatten() {
                Some(heredoc) => Source::Inline(heredoc.clone()),
                None => Source::Path(word),
            }
        });
        let sources = sources.collect();
        match bodies.next() {
            None => Ok(sources),
            Some(left) => {
                let what = format!("the heredoc `{}`", left.written);
                let why = "cannot be a destination, nor be split by blanks";
                Err(Mistake::unusable(what, why)
                    .in_word(left.written.as_str())
                    .help(format!(
                        "write {} <<{} /file",
                        self.name,
                        left.name.replace(' ', "_")
                    )))
            }
        }
    }

    fn check(&self, files: &Files) -> Result<()> {
        if form_is_heredoc(&files.destination, files.form) {
            let mistake = Mistake::unusable(self.name, "cannot take a heredoc as its destination");
            return Err(mistake.in_word(files.destination.as_str()));
        }
        Ok(())
    }
}

fn form_is_heredoc(word: &str, form: ListForm) -> bool {
    form == ListForm::Words && Heredoc::from_word(word).is_some()
}

/// Whether ADD would download it.
pub(crate) fn is_url(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://")
}

fn reject_variable(from: &str) -> Result<()> {
    if is_constant(from) {
        return Ok(());
    }
    let option = format!("--from={from}");
    Err(Mistake::Variable { option }
        .in_word(from)
        .help("name a stage instead: FROM $IMAGE AS name, then --from=name"))
}
