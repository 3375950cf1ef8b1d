//! Where the images of a push go: one place for each registry and image.

use std::collections::BTreeMap;

use super::super::publish::Destination;
use super::super::task::PushTask;
use imgmake_core::execute::Failure;
use imgmake_core::manifest::PushFrom;
use imgmake_oci::image::{Reference, ReferenceError};

pub(super) fn destinations(task: &PushTask<'_>) -> Result<Vec<Destination>, Failure> {
    let graph = &task.runner.project.graph;
    let names: Vec<String> = match &task.target.from {
        PushFrom::Images(_) => graph
            .images(task.id)
            .into_iter()
            .map(|image| graph.target(image).default_repository())
            .collect(),
        PushFrom::Tar { .. } | PushFrom::Image(_) | PushFrom::Index(_) | PushFrom::Stored(_) => {
            vec![String::new()]
        }
    };
    // In the manifest's order, each registry and image once.
    let mut found: Vec<Destination> = Vec::new();
    let mut places: BTreeMap<(String, usize), usize> = BTreeMap::new();
    for destination in &task.target.to {
        for registry in &destination.registries {
            let node = graph
                .manifest()
                .registries
                .iter()
                .find(|node| node.name.value == registry.value);
            let node = node.expect("the graph checks registries");
            for (image, name) in names.iter().enumerate() {
                let repository = match &destination.repository {
                    Some(_) if names.len() > 1 => {
                        let label = "several images cannot share one repository";
                        return Err(task.problem(
                            registry,
                            format!(
                                "`repository` names one image, and {} are pushed",
                                names.len()
                            ),
                            label,
                        ));
                    }
                    Some(repository) => repository.value.clone(),
                    None if name.is_empty() => {
                        return Err(task.problem(
                            registry,
                            "this push needs a repository",
                            "write `repository \"…\"` for it",
                        ));
                    }
                    None => name.clone(),
                };
                let text = format!("{}/{repository}", node.prefix.value);
                let to: Reference = text.parse().map_err(|error: ReferenceError| {
                    task.problem(registry, error.to_string(), "invalid destination")
                })?;
                let tags = destination.tags.iter().map(|tag| tag.value.clone());
                let at = *places.entry((to.name(), image)).or_insert(found.len());
                if at == found.len() {
                    found.push(Destination {
                        image,
                        to,
                        tags: Vec::new(),
                    });
                }
                let place = &mut found[at];
                place.tags.extend(
                    tags.filter(|tag| !place.tags.contains(tag))
                        .collect::<Vec<_>>(),
                );
            }
        }
    }
    Ok(found)
}
