//! A Docker daemon: its own builder, and the BuildKit inside of it.

use std::path::Path;

use imgmake_dockerfile::compat::{Builder, Version};

use super::super::case::Case;
use super::super::text::Image;
use super::super::workshop::Workshop;
use super::{Peer, arguments, output, program, read};
use crate::ground::images::{busybox, path};
use crate::ground::{run, temporary};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Frontend {
    Own,
    BuildKit,
}

pub struct Docker {
    address: String,
    frontend: Frontend,
    version: Version,
}

impl Docker {
    pub fn at(address: &str, frontend: Frontend) -> Docker {
        let mut docker = Docker {
            address: address.to_string(),
            frontend,
            version: Version::default(),
        };
        let told = match frontend {
            Frontend::Own => docker.run(&["version", "--format", "{{.Server.Version}}"]),
            Frontend::BuildKit => docker.run(&["buildx", "inspect"]),
        };
        let told = told.unwrap();
        let version = match frontend {
            Frontend::Own => Version::parse(told.trim()),
            // BuildKit version: v0.25.1
            Frontend::BuildKit => told
                .lines()
                .find_map(|line| Version::parse(line.strip_prefix("BuildKit version: ")?.trim())),
        };
        docker.version = version.unwrap_or_else(|| panic!("no version: {told}"));
        let directory = temporary();
        let archive = directory.path().join("busybox.tar");
        let from = format!("oci:{}:base", busybox().display());
        let to = format!("docker-archive:{}:busybox:latest", archive.display());
        run("skopeo", &["copy", "-q", &from, &to]);
        docker.run(&["load", "-q", "-i", path(&archive)]).unwrap();
        docker
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let buildkit = match self.frontend {
            Frontend::Own => "0",
            Frontend::BuildKit => "1",
        };
        output(
            program("docker")
                .arg("--host")
                .arg(&self.address)
                .args(arguments)
                .env("DOCKER_BUILDKIT", buildkit),
        )
    }

    fn build_image(
        &self,
        place: &Path,
        name: &str,
        file: &str,
        more: &[String],
    ) -> Result<(), String> {
        let (file, context) = (place.join(file), place.join("context"));
        let mut arguments = match self.frontend {
            Frontend::Own => vec!["build"],
            Frontend::BuildKit => vec!["buildx", "build", "--load", "--provenance=false"],
        };
        arguments.extend(["-q", "--no-cache", "--network=host", "-t", name]);
        arguments.extend(["-f", path(&file)]);
        arguments.extend(more.iter().map(String::as_str));
        arguments.push(path(&context));
        self.run(&arguments).map(drop)
    }
}

impl Peer for Docker {
    fn builder(&self) -> Builder {
        match self.frontend {
            Frontend::Own => Builder::Docker,
            Frontend::BuildKit => Builder::BuildKit,
        }
    }

    fn version(&self) -> &Version {
        &self.version
    }

    fn build(&self, workshop: &Workshop, case: &Case) -> Result<Image, String> {
        let place = workshop.place(case);
        let asked = &case.request;
        for (name, file) in &asked.images {
            self.build_image(&place, name, file, &[])?;
        }
        let mut arguments = arguments(workshop, case, &place);
        let epoch = asked.epoch.iter();
        arguments.extend(epoch.map(|e| format!("--build-arg=SOURCE_DATE_EPOCH={e}")));
        let text = std::fs::read_to_string(place.join("Dockerfile")).unwrap_or_default();
        if self.frontend == Frontend::BuildKit && text.contains("--security=insecure") {
            arguments.push("--allow=security.insecure".into());
        }
        self.build_image(&place, "case", "Dockerfile", &arguments)?;
        let archive = place.join("docker.tar");
        self.run(&["save", "-o", path(&archive), "case"])?;
        read(workshop, case, &archive)
    }
}
