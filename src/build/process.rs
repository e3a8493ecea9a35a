//! Processes of others: they get a time, and of what they print only the end is kept.

use std::collections::VecDeque;
use std::io::{PipeReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How much of the output is kept.
const TAIL: usize = 16 << 10;
/// The most bytes of output that are read as an answer.
pub(super) const LARGEST_ANSWER: usize = 4 << 20;
/// How long a process that was told to end may take, and how long its last output may.
const PATIENCE: Duration = Duration::from_secs(8);

/// How a process ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None` if it was ended because its time was over.
    pub status: Option<ExitStatus>,
    /// The end of what it printed, or the beginning if that was asked for.
    pub output: String,
}

impl Ended {
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// What is kept of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The end of standard output and standard error, as they came.
    Tail,
    /// Standard output up to [`LARGEST_ANSWER`]; standard error is lost.
    Answer,
}

/// Runs a command. Blocks. Its standard input is open until it ends, or until its time is over: who looks after others
/// can end them then.
pub(super) fn run(command: &mut Command, limit: Duration, keep: Keep) -> std::io::Result<Ended> {
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::piped());
    match keep {
        Keep::Tail => command.stderr(writer.try_clone()?),
        Keep::Answer => command.stderr(Stdio::null()),
    };
    command.stdout(writer);
    let child = command.spawn();
    // The command holds the other end of the pipe as well.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child?;
    let output: Arc<Mutex<VecDeque<u8>>> = Arc::default();
    let (done, finished) = mpsc::channel();
    let kept = Arc::clone(&output);
    std::thread::spawn(move || {
        read(reader, &kept, keep);
        let _ = done.send(());
    });
    let status = wait(&mut child, limit);
    // Something that nobody could end may hold the pipe open.
    let _ = finished.recv_timeout(PATIENCE);
    let bytes: Vec<u8> = output.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
    Ok(Ended { status, output: String::from_utf8_lossy(&bytes).into_owned() })
}

fn read(mut reader: PipeReader, kept: &Mutex<VecDeque<u8>>, keep: Keep) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read) = reader.read(&mut buffer) {
        if read == 0 {
            return;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        match keep {
            Keep::Tail => {
                kept.extend(&buffer[..read]);
                let surplus = kept.len().saturating_sub(TAIL);
                kept.drain(..surplus);
            }
            Keep::Answer => {
                let room = LARGEST_ANSWER.saturating_sub(kept.len());
                kept.extend(&buffer[..read.min(room)]);
            }
        }
    }
}

/// Waits for a process; `None` if its time was over.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let input = child.stdin.take();
    if let Some(status) = wait_until(child, Instant::now() + limit) {
        return Some(status);
    }
    drop(input);
    if wait_until(child, Instant::now() + PATIENCE).is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    None
}

fn wait_until(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(pause),
            Ok(None) | Err(_) => return None,
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: u64, keep: Keep) -> Ended {
        run(Command::new("sh").args(["-c", script]), Duration::from_millis(limit), keep).unwrap()
    }

    #[test]
    fn only_the_end_of_the_output_is_kept() {
        let ended = sh("head -c 300000 /dev/zero | tr '\\0' x; echo; echo last >&2", 10_000, Keep::Tail);
        assert!(ended.succeeded() && ended.output.ends_with("x\nlast\n"));
        assert_eq!(ended.output.len(), TAIL);
        let answer = sh("echo one; echo two >&2", 10_000, Keep::Answer);
        assert_eq!(answer.output, "one\n");
        assert!(!sh("exit 3", 10_000, Keep::Tail).succeeded());
    }

    #[test]
    fn a_process_whose_time_is_over_is_told_to_end() {
        // `cat` ends with its input.
        let ended = sh("echo begun; cat", 100, Keep::Tail);
        assert_eq!((ended.status, ended.output.as_str()), (None, "begun\n"));
    }
}
