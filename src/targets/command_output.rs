//! The output of a command, line by line, until the command has ended. A process that inherited its
//! pipe and stays behind does not delay the end.

use std::io::{ErrorKind, PipeReader};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A pipe that the command writes to.
pub trait Pipe: AsFd + Sync {}
impl<T: AsFd + Sync> Pipe for T {}

/// A line without end is passed on in pieces.
const LONGEST: usize = 64 << 10;
/// How long after the end more may come: what is in the pipe is there already.
const GRACE: Duration = Duration::from_millis(50);
/// How long the output of a process that stays behind is still read.
const LONGEST_GRACE: Duration = Duration::from_secs(1);

/// Reads until nobody can write any more, or, once `ended` is closed, until nothing more comes.
pub fn lines(pipe: &dyn Pipe, ended: &PipeReader, mut on_line: impl FnMut(Vec<u8>)) {
    let mut line = Vec::new();
    let mut until: Option<Instant> = None;
    let mut buffer = vec![0; 8 << 10];
    loop {
        match wait(pipe, ended, until) {
            Woken::More => {}
            Woken::Ended => {
                until = Some(Instant::now() + LONGEST_GRACE);
                continue;
            }
            Woken::Silent => break,
        }
        let count = match rustix::io::read(pipe, buffer.as_mut_slice()) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if std::io::Error::from(error).kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for byte in &buffer[..count] {
            match *byte {
                b'\n' => on_line(std::mem::take(&mut line)),
                byte => line.push(byte),
            }
            if line.len() == LONGEST {
                on_line(std::mem::take(&mut line));
            }
        }
    }
    if !line.is_empty() {
        on_line(line);
    }
}

enum Woken {
    More,
    Ended,
    Silent,
}

fn wait(pipe: &dyn Pipe, ended: &PipeReader, until: Option<Instant>) -> Woken {
    loop {
        let mut watched = vec![PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
        if until.is_none() {
            watched.push(PollFd::new(ended, PollFlags::IN));
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Woken::Silent;
        }
        let patience = left.map(|left| Timespec {
            tv_sec: 0,
            tv_nsec: left.min(GRACE).subsec_nanos().into(),
        });
        match poll(&mut watched, patience.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(0) | Err(_) => return Woken::Silent,
            Ok(_) => {}
        }
        // A process that goes on writing must not hide the end of the command. A closed pipe counts
        // as more: the read finds its end.
        return match watched
            .get(1)
            .is_some_and(|ended| !ended.revents().is_empty())
        {
            true => Woken::Ended,
            false => Woken::More,
        };
    }
}
