//! A person at a terminal of 80 columns.

use std::process::{Command, Output};

/// Runs a program on a pseudo terminal, types once it shows a certain text, prints what was shown.
const PERSON: &str = r#"
import fcntl, os, pty, struct, sys, termios, time
typed = sys.argv[1].encode().decode('unicode_escape').encode()
awaited = sys.argv[2].encode()
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.execvp(sys.argv[3], sys.argv[3:])
shown = b''
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:
        break
    if not more:
        break
    shown += more
    if typed and awaited in shown:
        # A prompt for a password comes just before the terminal stops to show what is typed.
        while awaited == b'Password: ' and termios.tcgetattr(terminal)[3] & termios.ECHO:
            time.sleep(0.01)
        # The set-up of the shell may still be under way: what is typed waits.
        os.write(terminal, typed)
        typed = b''
status = os.waitpid(child, 0)[1]
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status))
"#;

/// The command with these arguments, in its own environment; `typed` may hold escapes of
/// Python, and is typed when `awaited` was shown. The standard output is what was shown.
pub fn at_a_terminal(command: &Command, arguments: &[&str], typed: &str, awaited: &str) -> Output {
    let mut person = Command::new("python3");
    person
        .args(["-c", PERSON, typed, awaited])
        .arg(command.get_program())
        .args(command.get_args())
        .args(arguments)
        .env_clear();
    if let Some(directory) = command.get_current_dir() {
        person.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            person.env(name, value);
        }
    }
    person.output().unwrap()
}
