//! Blobs on their way: uploads in one piece, in chunks, resumed and abandoned.

use std::collections::BTreeMap;

use super::answers::error;
use crate::http::Response;

#[derive(Default)]
pub(super) struct Uploads {
    open: BTreeMap<String, Upload>,
    begun: u64,
}

struct Upload {
    repository: String,
    bytes: Vec<u8>,
}

impl Uploads {
    pub(super) fn begin(&mut self, base: &str, repository: &str) -> Response {
        self.begun += 1;
        let id = format!("{:08x}-upload", self.begun);
        let upload = Upload {
            repository: repository.to_string(),
            bytes: Vec::new(),
        };
        self.open.insert(id.clone(), upload);
        state(202, base, repository, &id, 0)
    }

    pub(super) fn status(&self, base: &str, repository: &str, id: &str) -> Response {
        match self.find(repository, id) {
            Some(upload) => state(204, base, repository, id, upload.bytes.len()),
            None => unknown(),
        }
    }

    /// Adds bytes at the end. A `Content-Range` has to begin there.
    pub(super) fn append(
        &mut self,
        base: &str,
        repository: &str,
        id: &str,
        range: Option<&str>,
        bytes: &[u8],
    ) -> Response {
        let Some(upload) = self.open.get_mut(id).filter(|u| u.repository == repository) else {
            return unknown();
        };
        let begin = range.and_then(|range| {
            let range = range.trim_start_matches("bytes ");
            range.split('-').next()?.parse::<usize>().ok()
        });
        if begin.is_some_and(|begin| begin != upload.bytes.len()) {
            return state(416, base, repository, id, upload.bytes.len());
        }
        upload.bytes.extend_from_slice(bytes);
        state(202, base, repository, id, upload.bytes.len())
    }

    /// Closes an upload and gives what it holds.
    pub(super) fn finish(&mut self, repository: &str, id: &str) -> Vec<u8> {
        let known = self.find(repository, id).is_some();
        let upload = self.open.remove(id).filter(|_| known);
        upload.map(|upload| upload.bytes).unwrap_or_default()
    }

    pub(super) fn cancel(&mut self, repository: &str, id: &str) -> Response {
        if self.find(repository, id).is_none() {
            return unknown();
        }
        self.forget(id);
        Response::new(204)
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.open.remove(id);
    }

    fn find(&self, repository: &str, id: &str) -> Option<&Upload> {
        let upload = self.open.get(id);
        upload.filter(|upload| upload.repository == repository)
    }
}

fn state(status: u16, base: &str, repository: &str, id: &str, held: usize) -> Response {
    Response::new(status)
        .header(
            "Location",
            format!("{base}/v2/{repository}/blobs/uploads/{id}"),
        )
        .header("Range", format!("0-{}", held.saturating_sub(1)))
        .header("Docker-Upload-UUID", id)
}

fn unknown() -> Response {
    error(
        404,
        "BLOB_UPLOAD_UNKNOWN",
        "blob upload unknown to registry",
    )
}
