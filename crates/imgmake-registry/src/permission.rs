//! Whether a push would be let in, asked before anything is built for it: an
//! upload is begun and abandoned. A HEAD would tell only who may read.

use ureq::http::Method;

use super::http::{Call, EMPTY};
use super::session::{Request, Retry, Session, push_scope};
use super::upload::NO_PUSHES;
use super::{Client, Failure, OperationContext, RegistryError, repositories};
use imgmake_oci::image::Reference;

impl Client {
    /// Makes the repository where the settings ask for that, since nobody may push to one that is not there.
    ///
    /// # Errors
    /// The registry cannot be reached, or does not let us push to this repository.
    pub fn check_push(&self, to: &Reference, work: &OperationContext) -> Result<(), RegistryError> {
        let session = self.session(to);
        let explained = |error: RegistryError| match error.status() {
            Some(405) => error.help(NO_PUSHES),
            _ => repositories::explain(
                &session,
                error.during(&to.registry, &to.repository, "begin an upload"),
            ),
        };
        let Err(error) = begin_and_abandon(&session, to, work) else {
            return Ok(());
        };
        // ECR hangs up on whoever asks for a repository that it does not have.
        let absent = error.is_missing()
            || (error.failure() == Failure::Connection && error.status().is_none());
        if !session.endpoint.settings.create_repository || !absent {
            return Err(explained(error));
        }
        repositories::create_repository(&session, &to.repository)?;
        match begin_and_abandon(&session, to, work) {
            // Others than ECR make it with the push.
            Err(error) if !error.is_missing() => Err(explained(error)),
            _ => Ok(()),
        }
    }
}

fn begin_and_abandon(
    session: &Session,
    to: &Reference,
    work: &OperationContext,
) -> Result<(), RegistryError> {
    let scopes = [push_scope(&to.repository)];
    let send = |operation, call, retry| {
        session.send(&Request {
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
    let answer = send("begin an upload", call, Retry::Whole)?;
    let opened = answer
        .header("Location")
        .and_then(|location| session.locate(&answer.url, location).ok());
    answer.drain();
    if let Some(opened) = opened {
        // Registries sweep forgotten uploads themselves; this is politeness.
        let call = Call::new(Method::DELETE, opened);
        drop(send("abandon an upload", call, Retry::Never));
    }
    Ok(())
}
