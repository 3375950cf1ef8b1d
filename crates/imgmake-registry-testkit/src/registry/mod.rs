//! A registry: repositories in memory, behind the API of the distribution specification.
//!
//! ```text
//! route     a request → what it asks for
//! access    who may do it; tokens
//! content   blobs, manifests, tags, referrers
//! uploads   blobs on their way
//! options   how it behaves
//! answers   errors in the specification's form
//! ```

mod access;
mod answers;
mod content;
mod options;
mod route;
mod uploads;

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::{Head, Received, Response, read_body};
use crate::server::Server;
use access::Access;
use answers::error;
use content::Content;
pub use options::{Credentials, RegistryOptions};
use route::{Route, Target};
use uploads::Uploads;

/// A registry on loopback, over plain HTTP. It ends, and forgets everything, when it is dropped.
///
/// ```
/// use imgmake_registry_testkit::{Registry, RegistryOptions};
///
/// let registry = Registry::with(RegistryOptions {
///     referrers: false,
///     ..RegistryOptions::default()
/// });
/// let name = format!("{}/app:1", registry.host());
/// // Push to `name` with the client under test, then look:
/// assert!(registry.tags("app").is_empty());
/// ```
pub struct Registry {
    server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    options: RegistryOptions,
    access: Access,
    content: Content,
    uploads: Uploads,
}

impl Registry {
    /// One that everybody may push to and pull from.
    pub fn start() -> Registry {
        Registry::with(RegistryOptions::default())
    }

    /// One with credentials, or without what some registries do not have.
    pub fn with(options: RegistryOptions) -> Registry {
        let state = Arc::new(Mutex::new(State {
            access: Access::new(options.credentials.clone()),
            options,
            content: Content::default(),
            uploads: Uploads::default(),
        }));
        let served = Arc::clone(&state);
        let server = Server::start(move |stream| serve(&stream, &served));
        Registry { server, state }
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// `127.0.0.1:PORT`, the first part of image names.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.content.tags(repository).unwrap_or_default()
    }

    /// Whether a repository holds a blob or a manifest with this digest.
    pub fn holds(&self, repository: &str, digest: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.content.blob(repository, digest).is_some()
            || state.content.manifest(repository, digest).is_some()
    }
}

/// Answers the requests of one connection until either side closes it.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let Ok(reading) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(reading);
    while let Some(head) = Head::read(&mut reader) {
        // A refusal comes before the body, which nobody wants.
        let refused = lock(state).refused(&head);
        if let (Some(response), true) = (&refused, head.expects_continue()) {
            drop(response.write(stream, &head.method, true));
            return;
        }
        if head.expects_continue() && { stream }.write_all(CONTINUE).is_err() {
            return;
        }
        let body = read_body(&head, &mut reader);
        let whole = body.whole;
        let response = refused.unwrap_or_else(|| lock(state).answer(&head, body));
        let close = head.closes() || !whole;
        if response.write(stream, &head.method, close).is_err() || close {
            return;
        }
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The answer to whoever may not do what is asked.
    fn refused(&mut self, head: &Head) -> Option<Response> {
        let route = Route::parse(head);
        match route.target {
            Target::Token => None,
            _ => self.access.refused(head, &route),
        }
    }

    fn answer(&mut self, head: &Head, body: Received) -> Response {
        let route = Route::parse(head);
        let name = route.repository.as_str();
        match (head.method.as_str(), &route.target) {
            (_, Target::Token) => self.access.token(head, &body.bytes),
            ("GET" | "HEAD", Target::Root) => Response::new(200).body("{}"),
            ("GET", Target::Catalog) => self.content.catalog(&route),
            ("GET", Target::Tags) => self.content.tag_list(name, &route),
            ("GET", Target::Referrers(digest)) if self.options.referrers => {
                self.content.referrers(name, digest, &route)
            }
            ("GET" | "HEAD", Target::Manifest(reference)) => {
                self.content.get_manifest(name, reference)
            }
            ("PUT", Target::Manifest(reference)) => {
                let media_type = head.header("Content-Type").unwrap_or_default();
                let referrers = self.options.referrers;
                self.content
                    .put_manifest(name, reference, media_type, body.bytes, referrers)
            }
            ("DELETE", Target::Manifest(reference)) if self.options.delete => {
                self.content.delete_manifest(name, reference)
            }
            ("GET" | "HEAD", Target::Blob(digest)) => {
                self.content.get_blob(name, digest, head.header("Range"))
            }
            ("DELETE", Target::Blob(digest)) if self.options.delete => {
                self.content.delete_blob(name, digest)
            }
            (_, Target::Uploads | Target::Upload(_)) => self.upload(head, &route, body),
            (_, Target::Unknown) => error(404, "NOT_FOUND", "there is nothing at this address"),
            _ => error(
                405,
                "UNSUPPORTED",
                "the registry does not support this operation",
            ),
        }
    }

    fn upload(&mut self, head: &Head, route: &Route, body: Received) -> Response {
        let name = route.repository.as_str();
        let base = match (self.options.relative_locations, head.header("Host")) {
            (false, Some(host)) => format!("http://{host}"),
            _ => String::new(),
        };
        let (uploads, content) = (&mut self.uploads, &mut self.content);
        match (head.method.as_str(), &route.target) {
            ("POST", Target::Uploads) => {
                let from = route.query("from").filter(|_| self.options.mount);
                if let (Some(digest), Some(from)) = (route.query("mount"), from)
                    && content.mount(name, digest, from)
                {
                    return content.created_blob(name, digest);
                }
                match route.query("digest") {
                    Some(digest) => content.put_blob(name, digest, body.bytes),
                    None => uploads.begin(&base, name),
                }
            }
            ("GET", Target::Upload(id)) => uploads.status(&base, name, id),
            ("DELETE", Target::Upload(id)) => uploads.cancel(name, id),
            ("PATCH", Target::Upload(id)) => {
                let (whole, range) = (body.whole, head.header("Content-Range"));
                let answer = uploads.append(&base, name, id, range, &body.bytes);
                self.forget_if_cut(id, whole);
                answer
            }
            ("PUT", Target::Upload(id)) => {
                let (whole, range) = (body.whole, head.header("Content-Range"));
                let appended = uploads.append(&base, name, id, range, &body.bytes);
                if appended.status >= 300 || !whole {
                    self.forget_if_cut(id, whole);
                    return appended;
                }
                let Some(digest) = route.query("digest") else {
                    return error(400, "DIGEST_INVALID", "the query has no `digest`");
                };
                let bytes = uploads.finish(name, id);
                content.put_blob(name, digest, bytes)
            }
            _ => error(
                405,
                "UNSUPPORTED",
                "the registry does not support this operation",
            ),
        }
    }

    fn forget_if_cut(&mut self, id: &str, whole: bool) {
        if !whole && self.options.forgets_cut_uploads {
            self.uploads.forget(id);
        }
    }
}
