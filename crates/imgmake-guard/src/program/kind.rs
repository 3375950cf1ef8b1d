//! What programs are for.

/// What a program is for, which decides what it may see of our environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `git`: its credential helpers, and questions about a checkout.
    Git,
    /// `ssh`, or what `GIT_SSH_COMMAND` names.
    Ssh,
    /// `ssh-agent` and `ssh-add` for one step's key.
    SshAgent,
    /// `docker-credential-*`.
    CredentialHelper,
    /// `credential_process` of a cloud's profile.
    CloudCredentials,
    /// Trivy and Grype. They find no home, so no settings of their own.
    Scanner,
    /// The line of `command "…"`: as for Trivy and Grype, which it often starts.
    ScanCommand,
    /// `newuidmap` and `newgidmap`.
    IdMap,
    /// `slirp4netns`: the network of a RUN with `network isolated`.
    Network,
}
