//! What a step came to, and the files in which platforms read that.
//!
//! Learned from the events of the run, not from its records: what a step records of
//! itself ends with it, and nothing is recorded when parallel steps write into the
//! context meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::card;
use super::context::http;
use crate::exit::{Exit, FAILED};
use crate::output_file::write_whole;
use imgmake_compat::nodes::parts;
use imgmake_compat::{ResultFiles, Step};
use imgmake_event::{Event, Events, Product, StepOutcome};
use imgmake_oci::store::Store;

/// Collects from the events what the result files need.
#[derive(Clone, Default)]
pub struct ResultCollector(Arc<Mutex<Collected>>);

#[derive(Default)]
struct Collected {
    built: Option<String>,
    pushed: Option<String>,
    steps: BTreeMap<u32, (StepOutcome, Duration)>,
}

impl ResultCollector {
    /// Listens to everything on its way to others.
    pub fn before(&self, others: Events) -> Events {
        let collector = self.clone();
        Events::to(move |event| {
            collector.on_event(&event);
            others.send(event);
        })
    }

    fn on_event(&self, event: &Event) {
        let mut collected = self.0.lock().expect("collecting does not panic");
        match event {
            Event::Produced { what, .. } => match what {
                Product::Image { digest, .. } => collected.built = Some(digest.clone()),
                Product::Pushed { digest, .. } => collected.pushed = Some(digest.clone()),
                _ => {}
            },
            Event::StepFinished {
                id, outcome, took, ..
            } => {
                collected.steps.insert(*id, (outcome.clone(), *took));
            }
            _ => {}
        }
    }
}

/// What the step came to, for its result files.
pub struct Results {
    digest: String,
    size: u64,
    media_type: String,
    config: String,
    /// The configuration itself, where the image is of one platform.
    configuration: Value,
    /// What its layers take.
    layers: u64,
    cache_metrics: Value,
}

impl Results {
    pub fn of(collector: &ResultCollector, store: &Store) -> Result<Results, Exit> {
        let collected = collector.0.lock().expect("collecting does not panic");
        let digest = collected.built.clone().or_else(|| collected.pushed.clone());
        let digest = digest.ok_or_else(|| Exit::error(FAILED, "the step built no image"))?;
        let parsed = digest.parse().map_err(|error| Exit::error(FAILED, error))?;
        let bytes = store.read_blob(&parsed, 4 << 20)?;
        let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let config = text(&document["config"]["digest"]);
        let configuration = config
            .parse()
            .ok()
            .and_then(|digest| store.read_blob(&digest, 4 << 20).ok());
        let configuration = configuration.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let sizes = document["layers"].as_array().into_iter().flatten();
        Ok(Results {
            configuration: configuration.unwrap_or_default(),
            layers: sizes.filter_map(|layer| layer["size"].as_u64()).sum(),
            digest,
            size: bytes.len() as u64,
            media_type: text(&document["mediaType"]),
            config,
            cache_metrics: cache_metrics(&collected.steps),
        })
    }

    pub fn write(&self, step: &Step, workspace: &Path) -> Result<(), Exit> {
        let files = &step.results;
        let put = |path: &str, text: String| match path.starts_with("https://") {
            // kaniko's own: an address that was signed for one upload.
            true => http::put(path, &text).context("cannot upload the digest"),
            false => write_whole(&workspace.join(path), text.as_bytes()),
        };
        for path in &files.digest {
            put(path, self.digest.clone())?;
        }
        for path in &files.name_with_digest {
            put(
                path,
                self.lines(step, |repository, _| {
                    format!("{repository}@{}", self.digest)
                }),
            )?;
        }
        for path in &files.name_tag_with_digest {
            put(
                path,
                self.lines(step, |repository, tag| {
                    format!("{repository}:{tag}@{}", self.digest)
                }),
            )?;
        }
        if let Some(path) = &files.images {
            let line =
                |name: &String| format!("{}\n", json!({"name": name, "digest": self.digest}));
            put(path, step.names.iter().map(line).collect())?;
        }
        if let Some(path) = &files.artifact {
            put(path, self.artifact(step, files))?;
        }
        if let Some(path) = &files.output {
            self.add_output(&workspace.join(path), step)?;
        }
        if let Some(path) = &files.metadata {
            put(path, self.metadata(step))?;
        }
        if let Some(path) = &files.cache_metrics {
            put(path, format!("{}\n", self.cache_metrics))?;
        }
        if let Some(path) = &files.card {
            let now = jiff::Timestamp::now().to_string();
            let (id, digest) = (&self.config, &self.digest);
            let card = card::card(
                &step.names,
                id,
                digest,
                &self.configuration,
                self.layers,
                &now,
            );
            card::write(path, workspace, &card)?;
        }
        Ok(())
    }

    /// One line for each destination, in their order, each once.
    fn lines(&self, step: &Step, line: impl Fn(&str, &str) -> String) -> String {
        let mut lines: Vec<String> = Vec::new();
        for destination in &step.names {
            let (_, _, tag) = parts(destination);
            let repository = destination
                .strip_suffix(&format!(":{tag}"))
                .unwrap_or(destination);
            let line = line(repository, &tag);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn artifact(&self, step: &Step, files: &ResultFiles) -> String {
        let images: Vec<_> = step
            .names
            .iter()
            .map(|image| json!({"image": image, "digest": self.digest}))
            .collect();
        let data = json!({"registryType": files.registry_type, "registryUrl": files.registry_url, "images": images});
        json!({"kind": "docker/v1", "data": data}).to_string()
    }

    /// Dotenv lines for later steps, beside what other tools wrote there.
    fn add_output(&self, path: &Path, step: &Step) -> Result<(), Exit> {
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            if let Some((name, value)) = line.split_once('=') {
                lines.insert(name.to_string(), value.to_string());
            }
        }
        lines.insert("digest".into(), format!("{:?}", self.digest));
        if let Some(tar) = &step.results.image_tar {
            lines.insert("IMAGE_TAR_PATH".into(), format!("{tar:?}"));
        }
        let text: String = lines
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        Ok(write_whole(path, text.as_bytes())?)
    }

    fn metadata(&self, step: &Step) -> String {
        let value = json!({
            "containerimage.config.digest": self.config,
            "containerimage.descriptor": {"mediaType": self.media_type, "digest": self.digest, "size": self.size},
            "containerimage.digest": self.digest,
            "image.name": step.names.join(","),
        });
        format!(
            "{}\n",
            serde_json::to_string_pretty(&value).expect("strings are JSON")
        )
    }
}

/// Counted as buildx's plugin does: one layer for each step of the Dockerfile.
fn cache_metrics(steps: &BTreeMap<u32, (StepOutcome, Duration)>) -> Value {
    let status = |outcome: &StepOutcome| match outcome {
        StepOutcome::Done => "DONE",
        StepOutcome::Cached => "CACHED",
        StepOutcome::Failed { .. } => "ERROR",
        StepOutcome::Cancelled => "CANCELED",
    };
    let count = |wanted: &str| {
        let all = steps.values();
        all.filter(|(outcome, _)| status(outcome) == wanted).count()
    };
    let layers: serde_json::Map<String, Value> = steps
        .iter()
        .map(|(id, (outcome, took))| {
            let layer = json!({"status": status(outcome), "time": took.as_secs_f64()});
            (id.to_string(), layer)
        })
        .collect();
    json!({"total_layers": steps.len(), "done": count("DONE"), "cached": count("CACHED"),
        "error": count("ERROR"), "canceled": 0, "layers": layers})
}
