//! A build definition from disk: the Dockerfile's text, parsed; and where its contexts and ignore files lie.

use std::path::{Path, PathBuf};

use crate::error::{BuildError, Context, Result};
use crate::files::context::{ContextTree, IgnoreFiles};
use crate::files::plan::fixed_time;
use crate::request::{BuildDefinition, BuildRequest};
use imgmake_dockerfile::Dockerfile;

pub struct ParsedDefinition {
    /// Name for messages, and the bytes.
    pub text: Option<(String, Vec<u8>)>,
    parsed: Option<Dockerfile>,
    pub epoch: Option<i64>,
}

impl ParsedDefinition {
    /// # Errors
    /// A Dockerfile that is not there or has mistakes; each is named with its line.
    pub fn read(request: &BuildRequest) -> Result<ParsedDefinition> {
        let mut loaded = ParsedDefinition {
            text: None,
            parsed: None,
            epoch: epoch(request)?,
        };
        if let BuildDefinition::Dockerfile { path, .. } = &request.definition {
            let name = display_path(path);
            let bytes = request
                .checkout
                .read(path)
                .with_context(|| format!("cannot read the Dockerfile `{name}`"))?;
            let parsed = Dockerfile::parse(&bytes).map_err(|errors| BuildError::Dockerfile {
                file: name.clone(),
                errors,
            })?;
            loaded.parsed = Some(parsed);
            loaded.text = Some((name, bytes));
        }
        Ok(loaded)
    }

    pub fn parsed(&self) -> Option<&Dockerfile> {
        self.parsed.as_ref()
    }

    /// As messages name it, and parsed; none for steps.
    pub fn dockerfile(&self) -> Option<(&str, &Dockerfile)> {
        let (name, _) = self.text.as_ref()?;
        Some((name, self.parsed.as_ref()?))
    }

    /// The main context, or a named one with an ignore file of its own.
    ///
    /// # Errors
    /// No such directory.
    pub fn context(&self, request: &BuildRequest, named: Option<&Path>) -> Result<ContextTree> {
        let directory = named.unwrap_or(&request.context);
        let mut ignore_files: Vec<PathBuf> = Vec::new();
        if let (None, BuildDefinition::Dockerfile { path, .. }) = (named, &request.definition) {
            let mut beside = path.clone().into_os_string();
            beside.push(".dockerignore");
            ignore_files.push(beside.into());
        }
        ignore_files.push(directory.join(".dockerignore"));
        let read = |file: &Path| request.checkout.with(directory).read(file);
        ContextTree::open(
            directory,
            &request.checkout,
            IgnoreFiles {
                candidates: &ignore_files,
                read: &read,
            },
            &request.excluded,
            fixed_time(self.epoch),
        )
    }
}

/// The request's, or the build argument SOURCE_DATE_EPOCH.
fn epoch(request: &BuildRequest) -> Result<Option<i64>> {
    match (request.epoch, request.args.get("SOURCE_DATE_EPOCH")) {
        (Some(epoch), _) => Ok(Some(epoch)),
        (None, Some(text)) if !text.is_empty() => text.parse().map(Some).map_err(|_| {
            let what = format!("SOURCE_DATE_EPOCH `{text}`");
            BuildError::invalid(what, "expected a number of seconds")
        }),
        _ => Ok(None),
    }
}

/// A path as messages show it: relative to the working directory where that is shorter.
pub fn display_path(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    here.and_then(|h| path.strip_prefix(&h).ok().map(Path::to_path_buf))
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or_else(|| path.to_path_buf())
        .display()
        .to_string()
}
