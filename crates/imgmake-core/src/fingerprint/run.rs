//! What of a `run` target is an input.

use super::inputs::Inputs;
use crate::manifest::{CommandNode, RunTarget};

/// The settings of a `run` target that decide what its command does. Its
/// timeout is none of them: it decides only whether.
pub fn run_settings(inputs: &mut Inputs, run: &RunTarget) {
    match &run.command.value {
        CommandNode::Shell(text) => inputs.list("setting", "command", ["sh", text]),
        CommandNode::Argv(argv) => {
            inputs.list(
                "setting",
                "command",
                std::iter::once("argv").chain(argv.iter().map(String::as_str)),
            );
        }
    }
    let dir = run.dir.as_ref().map_or(".", |dir| dir.value.as_str());
    inputs.value("setting", "dir", dir.as_bytes());
    for (name, value) in &run.env {
        inputs.value("env", name, value.as_bytes());
    }
    inputs.list("setting", "outputs", run.outputs.iter().map(|o| &o.value));
}

/// What a target that this one depends on made.
pub fn upstream(inputs: &mut Inputs, name: &str, digest: &[u8; 32]) {
    inputs.hashed("target", name, *digest);
}
