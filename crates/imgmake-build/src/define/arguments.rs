//! What stands before the first FROM: platform arguments and global ARGs.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::at_line;
use crate::error::Result;
use crate::request::BuildRequest;
use imgmake_dockerfile::{ArgDeclaration, Dockerfile, Escape, PLATFORM_ARGS};
use imgmake_oci::image::Platform;

/// What a stage's `ARG name` without a value takes.
#[derive(Default)]
pub struct Globals {
    pub values: BTreeMap<String, String>,
    /// Build arguments that some ARG took.
    pub taken: BTreeSet<String>,
}

impl Globals {
    /// Platform arguments, which build arguments beat, then the ARGs before the first FROM, each seeing those
    /// before it.
    ///
    /// # Errors
    /// A default that cannot be expanded, with its line.
    pub fn of(
        (file, parsed): (&str, &Dockerfile),
        request: &BuildRequest,
        platform: &Platform,
        target: usize,
    ) -> Result<Globals> {
        let stage = parsed.stages[target].name().unwrap_or("default");
        let mut globals = Globals::default();
        for (name, own) in platform_args(platform, stage) {
            let given = request.args.get(name).cloned();
            if given.is_some() {
                globals.taken.insert(name.to_string());
            }
            globals
                .values
                .insert(name.to_string(), given.unwrap_or(own));
        }
        for located in &parsed.global_args {
            for declaration in &located.value {
                globals
                    .declare(declaration, request, parsed.directives.escape)
                    .map_err(|e| at_line(file, located.first_line, e))?;
            }
        }
        Ok(globals)
    }

    /// An ARG: a build argument beats its default, and without either nothing changes.
    ///
    /// # Errors
    /// A default that cannot be expanded.
    pub fn declare(
        &mut self,
        declaration: &ArgDeclaration,
        request: &BuildRequest,
        escape: Escape,
    ) -> Result<()> {
        let name = &declaration.name;
        let value = match request.args.get(name) {
            Some(value) => {
                self.taken.insert(name.clone());
                Some(value.clone())
            }
            None => {
                let values = &self.values;
                declaration
                    .expand_default(&|n| values.get(n).cloned(), escape)?
                    .map(|e| e.text)
            }
        };
        if let Some(value) = value {
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }
}

fn platform_args(target: &Platform, stage: &str) -> Vec<(&'static str, String)> {
    let host = Platform::host();
    PLATFORM_ARGS
        .into_iter()
        .map(|name| {
            let platform = if name.starts_with("BUILD") {
                &host
            } else {
                target
            };
            let value = match name
                .trim_start_matches("BUILD")
                .trim_start_matches("TARGET")
            {
                "PLATFORM" => platform.to_string(),
                "OS" => platform.os.clone(),
                "ARCH" => platform.architecture.clone(),
                "VARIANT" => platform.variant.clone().unwrap_or_default(),
                _ => stage.to_string(),
            };
            (name, value)
        })
        .collect()
}
