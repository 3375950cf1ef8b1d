//! The card that a platform shows beside a step: what `docker inspect` would say of
//! the image, and its sizes in words.

use std::io::Write;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Value, json};

use imgmake_compat::nodes::parts;

const SCHEMA: &str = "https://drone-plugins.github.io/drone-docker/card.json";

/// `size` is what the image's layers take compressed; `now` is RFC 3339.
pub(super) fn card(
    names: &[String],
    id: &str,
    digest: &str,
    config: &Value,
    size: u64,
    now: &str,
) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let mut digests: Vec<String> = Vec::new();
    for destination in names {
        let (_, _, tag) = parts(destination);
        let name = destination.strip_suffix(&format!(":{tag}"));
        let name = format!("{}@{digest}", name.unwrap_or(destination));
        if !digests.contains(&name) {
            digests.push(name);
        }
    }
    let tags: Vec<Value> = names.iter().map(|tag| json!({"Tag": tag})).collect();
    json!({"schema": SCHEMA, "data": {
        "Id": id,
        "Digest": digest,
        "RepoTags": names,
        "ParsedRepoTags": tags,
        "RepoDigests": digests,
        "Parent": "", "Comment": "", "Container": "", "DockerVersion": "",
        "Created": text(&config["created"]),
        "Author": text(&config["author"]),
        "Architecture": text(&config["architecture"]),
        "Os": text(&config["os"]),
        "Size": size,
        "VirtualSize": size,
        "Metadata": {"LastTagTime": now},
        "SizeString": in_words(size),
        "VirtualSizeString": in_words(size),
        "Time": now,
        "URL": names.first().map(|name| page(name)).unwrap_or_default(),
    }})
}

/// Where people look at the repository.
fn page(destination: &str) -> String {
    let (host, repository, _) = parts(destination);
    match host.as_str() {
        "docker.io" => format!("https://hub.docker.com/r/{repository}"),
        host if host.ends_with("gcr.io") => {
            format!("https://console.cloud.google.com/gcr/images/{repository}")
        }
        host => format!("https://{host}/{repository}"),
    }
}

/// `5.45MB`, by powers of 1024, as the plugin writes it.
fn in_words(bytes: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", units[unit])
}

/// Standard output and error take the card between escapes that the platform's log reader knows.
pub(super) fn write(path: &str, workspace: &Path, card: &Value) -> anyhow::Result<()> {
    let escaped = || {
        let packed = base64::engine::general_purpose::STANDARD.encode(card.to_string());
        format!("\u{1b}]1338;{packed}\u{1b}]0m\n")
    };
    match path {
        "/dev/stdout" => Ok(std::io::stdout().write_all(escaped().as_bytes())?),
        "/dev/stderr" => Ok(std::io::stderr().write_all(escaped().as_bytes())?),
        path => crate::output_file::write_whole(&workspace.join(path), card.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_the_plugin_writes_them() {
        for (bytes, words) in [
            (0, "0.00B"),
            (1536, "1.50KB"),
            (5_714_739, "5.45MB"),
            (1 << 30, "1.00GB"),
        ] {
            assert_eq!(in_words(bytes), words);
        }
    }

    #[test]
    fn a_card_leads_to_where_people_look() {
        assert_eq!(page("acme/app:1"), "https://hub.docker.com/r/acme/app");
        assert_eq!(
            page("gcr.io/p/app:1"),
            "https://console.cloud.google.com/gcr/images/p/app"
        );
        assert_eq!(page("r.example:5000/a/b:1"), "https://r.example:5000/a/b");
    }
}
