//! What a step reports: which files it writes for later steps, and how much it logs.

use std::collections::BTreeMap;

use super::family::{Cloud, EntryPoint};
use super::log;
use super::reader::Reader;
use crate::result_files::ResultFiles;
use crate::step::{Log, Verbosity};

/// kaniko's variables, and the switches of the others.
/// How much is written to the log stops no build: an unknown word is a note.
pub(super) fn log(reader: &Reader, notes: &mut Vec<String>) -> Log {
    let mut word = |name: &str, choices: &[&str]| {
        let known = log::choice(name, &reader.text(name), choices);
        known.unwrap_or_else(|note| {
            notes.push(note);
            String::new()
        })
    };
    let format = word("PLUGIN_LOG_FORMAT", &log::FORMATS);
    let level = word("PLUGIN_VERBOSITY", &log::LEVELS);
    let verbosity = match (reader.flag("PLUGIN_QUIET"), reader.flag("PLUGIN_DEBUG")) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Verbose,
        (false, false) => log::verbosity(&format, &level),
    };
    Log {
        verbosity,
        timestamps: reader.flag("PLUGIN_LOG_TIMESTAMP"),
    }
}

pub(super) fn files(
    entry: EntryPoint,
    reader: &Reader,
    environment: &BTreeMap<String, String>,
) -> ResultFiles {
    let registry_type = match entry.cloud {
        Cloud::Docker | Cloud::Heroku => "Docker",
        Cloud::Ecr => "ECR",
        Cloud::Gcr => "GCR",
        Cloud::Gar => "GAR",
        Cloud::Acr => "ACR",
    };
    let many = |name: &str| -> Vec<String> {
        reader
            .text(name)
            .split(',')
            .map(str::trim)
            .filter(|f| !f.is_empty())
            .map(String::from)
            .collect()
    };
    ResultFiles {
        artifact: reader.some("PLUGIN_ARTIFACT_FILE"),
        registry_type: reader
            .some("PLUGIN_REGISTRY_TYPE")
            .unwrap_or_else(|| registry_type.to_string()),
        registry_url: reader
            .some("ARTIFACT_REGISTRY")
            .unwrap_or_else(|| reader.text("PLUGIN_REGISTRY")),
        // Declared by one plugin, read by all of the family.
        output: reader.some("DRONE_OUTPUT").or_else(|| {
            environment
                .get("DRONE_OUTPUT")
                .filter(|p| !p.is_empty())
                .cloned()
        }),
        name_with_digest: many("PLUGIN_IMAGE_NAME_WITH_DIGEST_FILE"),
        name_tag_with_digest: many("PLUGIN_IMAGE_NAME_TAG_WITH_DIGEST_FILE"),
        metadata: reader.some("PLUGIN_METADATA_FILE"),
        cache_metrics: reader.some("PLUGIN_CACHE_METRICS_FILE"),
        card: reader.some("DRONE_CARD_PATH"),
        ..ResultFiles::default()
    }
}
