//! Credential helper programs, `docker-credential-<name>`: the protocol of
//! docker-credential-helpers (a word as argument, JSON or text through pipes).

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::ClientOptions;
use imgmake_event::Cancel;
use imgmake_guard::program::{Kind, Program, may_be_stopped};

/// Some helpers open a browser or ask an agent; none may hang a build for ever.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// User and secret for a server; `None` when the helper knows none.
pub(super) fn get(
    program: &str,
    server: &str,
    options: &ClientOptions,
) -> Result<Option<(String, String)>, String> {
    let output = match run(program, "get", server.as_bytes(), options) {
        Ok(output) => output,
        Err(failed) if failed.is_not_found() => return Ok(None),
        Err(failed) => return Err(failed.text()),
    };
    let message: Message = serde_json::from_slice(&output)
        .map_err(|_| "its answer is not the JSON of a credential helper".to_string())?;
    // Some helpers answer "nothing" with empty fields.
    Ok((!message.secret.is_empty()).then_some((message.username, message.secret)))
}

pub(super) fn store(
    program: &str,
    server: &str,
    user: &str,
    secret: &str,
    options: &ClientOptions,
) -> Result<(), String> {
    let message = Message {
        server_url: server.to_string(),
        username: user.to_string(),
        secret: secret.to_string(),
    };
    let input = serde_json::to_vec(&message).expect("three strings are JSON");
    run(program, "store", &input, options)
        .map(drop)
        .map_err(Failed::text)
}

pub(super) fn erase(program: &str, server: &str, options: &ClientOptions) -> Result<(), String> {
    match run(program, "erase", server.as_bytes(), options) {
        Err(failed) if failed.is_not_found() => Ok(()),
        other => other.map(drop).map_err(Failed::text),
    }
}

/// How a program failed.
pub(super) enum Failed {
    Start(String),
    /// It ended with another status than 0, and this is what it printed.
    Said {
        status: String,
        stdout: String,
        stderr: String,
    },
}

impl Failed {
    /// Helpers say on stdout why they cannot help.
    fn text(self) -> String {
        match self {
            Failed::Start(text) => text,
            Failed::Said {
                status,
                stdout,
                stderr,
            } => {
                let output = [stdout.trim(), stderr.trim()]
                    .into_iter()
                    .find(|text| !text.is_empty())
                    .unwrap_or_default();
                format!("{output} ({status})").chars().take(300).collect()
            }
        }
    }

    /// Without what stood on stdout, where other programs print their secrets.
    pub(super) fn reason(self) -> String {
        match self {
            Failed::Said { status, stderr, .. } => Failed::Said {
                status,
                stdout: String::new(),
                stderr,
            }
            .text(),
            other => other.text(),
        }
    }

    fn is_not_found(&self) -> bool {
        match self {
            Failed::Start(_) => false,
            Failed::Said { stdout, stderr, .. } => {
                let text = format!("{stdout}{stderr}").to_lowercase();
                text.contains("credentials not found")
                    || text.contains("not found in native keychain")
            }
        }
    }
}

fn run(
    program: &str,
    action: &str,
    input: &[u8],
    options: &ClientOptions,
) -> Result<Vec<u8>, Failed> {
    if program.is_empty() || program.contains(['/', '\\', '\0']) {
        return Err(Failed::Start("a helper's name is one word".into()));
    }
    let name = format!("docker-credential-{program}");
    let helper = Program::new(Kind::CredentialHelper, name, &options.environment)
        .map_err(|error| Failed::Start(error.to_string()))?;
    let helper = helper.configure(|command| command.arg(action));
    talk(helper, &[input, b"\n"].concat(), &options.work.cancel)
}

/// Runs a program that answers a secret: input in, output back, neither seen by others.
/// Dropping it early ends the program: after a cancellation nobody waits for it.
pub(super) fn talk(program: Program, input: &[u8], cancel: &Cancel) -> Result<Vec<u8>, Failed> {
    let program = program.configure(|command| {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
    });
    let mut child = program
        .spawn()
        .map_err(|error| Failed::Start(error.to_string()))?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A program that does not read its input answers nevertheless.
    drop(stdin.write_all(input));
    drop(stdin);
    let stdout = gather(child.stdout.take().expect("stdout is piped"), 1 << 20);
    let stderr = gather(child.stderr.take().expect("stderr is piped"), 1 << 16);
    let (stdout, stderr) = (awaited(&stdout, cancel)?, awaited(&stderr, cancel)?);
    let status = child
        .wait()
        .map_err(|e| Failed::Start(format!("cannot wait for the program: {e}")))?;
    if status.success() {
        return Ok(stdout);
    }
    if may_be_stopped(status) && cancel.explains_an_end() {
        return Err(Failed::Start("cancelled".into()));
    }
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Err(Failed::Said {
        status: status.to_string(),
        stdout: lossy(stdout),
        stderr: lossy(stderr),
    })
}

/// What a pipe gave, once it has ended.
fn awaited(pipe: &mpsc::Receiver<Vec<u8>>, cancel: &Cancel) -> Result<Vec<u8>, Failed> {
    const GLANCE: Duration = Duration::from_millis(50);
    let since = Instant::now();
    loop {
        match pipe.recv_timeout(GLANCE) {
            Ok(bytes) => return Ok(bytes),
            Err(_) if cancel.is_cancelled() => return Err(Failed::Start("cancelled".into())),
            Err(mpsc::RecvTimeoutError::Timeout) if since.elapsed() < PATIENCE => {}
            Err(_) => return Err(Failed::Start("no answer within two minutes".into())),
        }
    }
}

/// Reads a pipe on a thread of its own: whoever writes much to one must not wait
/// for a reader of the other.
fn gather(pipe: impl Read + Send + 'static, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut pipe = pipe.take(most);
        drop(pipe.read_to_end(&mut bytes));
        drop(sender.send(bytes));
    });
    receiver
}
