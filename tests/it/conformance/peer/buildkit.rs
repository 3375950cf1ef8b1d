//! BuildKit by its own client, `buildctl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use imgmake_dockerfile::compat::{Builder, Version};

use super::super::case::Case;
use super::super::text::Image;
use super::super::workshop::Workshop;
use super::{Peer, output, program, read, secrets};
use crate::ground::images::busybox;

pub struct BuildKit {
    address: String,
    version: Version,
    busybox: PathBuf,
    /// The digest of the base in its layout.
    digest: String,
}

impl BuildKit {
    pub fn at(address: &str) -> BuildKit {
        let workers = buildctl(address, &["debug", "info"]).unwrap();
        // BuildKit: github.com/moby/buildkit v0.12.0 …
        let version = workers.split_whitespace().find_map(Version::parse);
        let busybox = busybox();
        let index = std::fs::read_to_string(busybox.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        BuildKit {
            version: version.unwrap_or_else(|| panic!("no version: {workers}")),
            address: address.to_string(),
            digest: index["manifests"][0]["digest"].as_str().unwrap().into(),
            busybox,
        }
    }

    fn run(&self, place: &Path, file: &str, more: &[String], to: &Path) -> Result<(), String> {
        let context = place.join("context");
        let mut arguments: Vec<String> = ["build", "--frontend=dockerfile.v0", "--progress=plain"]
            .map(String::from)
            .to_vec();
        arguments.extend([
            format!("--local=context={}", context.display()),
            format!("--local=dockerfile={}", place.display()),
            format!("--opt=filename={file}"),
            "--opt=force-network-mode=host".into(),
            "--allow=network.host".into(),
            "--allow=security.insecure".into(),
            format!("--oci-layout=base={}", self.busybox.display()),
            format!("--opt=context:busybox=oci-layout://base@{}", self.digest),
            format!("--output=type=oci,dest={}", to.display()),
        ]);
        arguments.extend(more.iter().cloned());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        buildctl(&self.address, &arguments).map(drop)
    }
}

fn buildctl(address: &str, arguments: &[&str]) -> Result<String, String> {
    output(
        program("buildctl")
            .args(["--addr", address])
            .args(arguments),
    )
}

impl Peer for BuildKit {
    fn builder(&self) -> Builder {
        Builder::BuildKit
    }

    fn version(&self) -> &Version {
        &self.version
    }

    fn build(&self, workshop: &Workshop, case: &Case) -> Result<Image, String> {
        let place = workshop.place(case);
        let asked = &case.request;
        let mut arguments = Vec::new();
        for (name, file) in &asked.images {
            let archive = place.join(format!("{name}.tar"));
            self.run(&place, file, &[], &archive)?;
            let layout = place.join(format!("{name}.layout"));
            std::fs::create_dir_all(&layout).unwrap();
            output(
                Command::new("tar")
                    .arg("-xf")
                    .arg(&archive)
                    .arg("-C")
                    .arg(&layout),
            )?;
            let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
            let index: serde_json::Value = serde_json::from_str(&index).unwrap();
            let digest = index["manifests"][0]["digest"].as_str().unwrap();
            arguments.push(format!("--oci-layout={name}={}", layout.display()));
            arguments.push(format!("--opt=context:{name}=oci-layout://{name}@{digest}"));
        }
        for (name, value) in &workshop.arguments(case) {
            arguments.push(format!("--opt=build-arg:{name}={value}"));
        }
        let epoch = asked.epoch.iter();
        arguments.extend(epoch.map(|e| format!("--opt=build-arg:SOURCE_DATE_EPOCH={e}")));
        for (name, value) in &asked.labels {
            arguments.push(format!("--opt=label:{name}={value}"));
        }
        for (name, folder) in &asked.contexts {
            let folder = place.join("context").join(folder);
            arguments.push(format!("--local={name}={}", folder.display()));
            arguments.push(format!("--opt=context:{name}=local:{name}"));
        }
        let secrets = secrets(case, &place).into_iter();
        arguments.extend(secrets.map(|secret| format!("--secret={secret}")));
        for id in &asked.ssh {
            let socket = workshop.agent().socket();
            arguments.push(format!("--ssh={id}={}", socket.display()));
        }
        let stage = asked.stage.iter();
        arguments.extend(stage.map(|stage| format!("--opt=target={stage}")));
        let platforms = asked.platforms.join(",");
        if !platforms.is_empty() {
            arguments.push(format!("--opt=platform={platforms}"));
        }
        let archive = place.join("buildkit.tar");
        self.run(&place, "Dockerfile", &arguments, &archive)?;
        read(workshop, case, &archive)
    }
}
