//! A build definition from disk: the Dockerfile's text, parsed; and where its contexts and ignore files lie.

use std::path::{Path, PathBuf};

use super::epoch::{self, Epoch};
use crate::error::{BuildError, Context, Result};
use crate::files::context::{ContextTree, IgnoreFiles};
use crate::files::layer_plan::fixed_time;
use crate::request::{BuildDefinition, BuildRequest};
use crate::target::TargetContext;
use imgmake_dockerfile::Dockerfile;

pub struct ParsedDefinition {
    /// Name for messages, and the bytes.
    pub text: Option<(String, Vec<u8>)>,
    parsed: Option<Dockerfile>,
    pub epoch: Epoch,
}

impl ParsedDefinition {
    /// Finds out which time its files get. Instructions see the arguments of the request that comes
    /// back.
    ///
    /// # Errors
    /// A time that cannot be found out.
    pub fn prepare(
        mut definition: ParsedDefinition,
        request: &BuildRequest,
        cx: &TargetContext,
    ) -> Result<(ParsedDefinition, BuildRequest)> {
        definition.epoch = epoch::resolve(request, cx, definition.dockerfile())?;
        let mut request = request.clone();
        definition.epoch.instead_of(&mut request.args);
        Ok((definition, request))
    }

    /// # Errors
    /// A Dockerfile that is not there or has mistakes; each is named with its line.
    pub fn read(request: &BuildRequest) -> Result<ParsedDefinition> {
        if let BuildDefinition::Dockerfile { path, .. } = &request.definition {
            let name = display_path(path);
            let bytes = request
                .checkout
                .read(path)
                .with_context(|| format!("cannot read the Dockerfile `{name}`"))?;
            return ParsedDefinition::of(&name, bytes);
        }
        Ok(ParsedDefinition {
            text: None,
            parsed: None,
            epoch: Epoch::default(),
        })
    }

    /// A Dockerfile's text, with its name for messages.
    ///
    /// # Errors
    /// Its mistakes.
    pub fn of(name: &str, bytes: Vec<u8>) -> Result<ParsedDefinition> {
        let parsed = Dockerfile::parse(&bytes).map_err(|errors| BuildError::Dockerfile {
            file: name.to_string(),
            errors,
        })?;
        Ok(ParsedDefinition {
            text: Some((name.to_string(), bytes)),
            parsed: Some(parsed),
            epoch: Epoch::default(),
        })
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
            fixed_time(self.epoch.seconds),
        )
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
