//! Whether a push would be let in, asked before anything is built for it: an
//! upload is begun and abandoned. A HEAD would tell only who may read.

use ureq::http::Method;

use super::http::Call;
use super::session::{Ask, EMPTY, Retry, push_scope};
use super::upload::NO_PUSHES;

use super::{Client, RegistryError, Work};
use crate::image::Reference;

impl Client {
    /// # Errors
    /// The registry cannot be reached, or does not let us push to this repository.
    pub fn check_push(&self, to: &Reference, work: &Work) -> Result<(), RegistryError> {
        let session = self.session(to);
        let scopes = [push_scope(&to.repository)];
        let ask = |operation, call, retry| {
            session.ask(&Ask {
                operation,
                repository: &to.repository,
                scopes: &scopes,
                call,
                retry,
                cancel: &work.cancel,
            })
        };
        let url = session.url(&format!("v2/{}/blobs/uploads/", to.repository))?;
        let call = Call::new(Method::POST, url).body(EMPTY);
        match ask("begin an upload", call, Retry::Whole) {
            Ok(answer) => {
                let opened = answer
                    .header("Location")
                    .and_then(|location| session.locate(&answer.url, location).ok());
                answer.drain();
                if let Some(opened) = opened {
                    // Registries sweep forgotten uploads themselves; this is politeness.
                    drop(ask(
                        "abandon an upload",
                        Call::new(Method::DELETE, opened),
                        Retry::Never,
                    ));
                }
                Ok(())
            }
            // It is made by the push.
            Err(error) if error.is_missing() && session.endpoint.settings.create_repository => {
                Ok(())
            }
            Err(error) if error.status() == Some(405) => Err(error.help(NO_PUSHES)),
            Err(error) => Err(error.during(&to.registry, &to.repository, "begin an upload")),
        }
    }
}
