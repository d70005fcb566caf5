//! Running another program to its end, with a deadline.

use super::call::{Answer, Call, bytes_of, integer};
use super::deadline::Deadline;
use super::descriptors::poll_until;
use super::errors::{Failure, errno_of};
use super::{environment, text, time};
use rquickjs::{Object, Value};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, ioctl_fionbio, retry_on_intr};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, set_parent_process_death_signal, setsid,
    waitpid,
};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One read of the child's output: as much as a pipe holds.
const CHUNK: usize = 64 << 10;

struct Program {
    path: String,
    args: Vec<String>,
    changes: Vec<(String, String)>,
    wait: Duration,
    max_output: usize,
}

pub fn spawn<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let options = call.object(0)?;
    let program = read_program(&options)?;
    // Read last: no JavaScript, not even a getter, runs while the bytes are in use.
    let stdin: Value = options.get("stdin")?;
    let stdin = bytes_of(call.ctx, stdin.as_raw()).ok_or_else(|| wrong("stdin", "a Uint8Array"))?;

    let mut child = start(&program).map_err(|errno| refused("execve", errno, &program.path))?;
    let end = Instant::now() + program.wait;
    let all = child.exchange(stdin, program.max_output, end);
    let finished = match all.and_then(|closed| Ok(closed && child.wait_until(end)?)) {
        Ok(finished) => finished,
        Err(errno) => {
            child.kill();
            return Err(refused("spawn", errno, &program.path));
        }
    };
    if !finished {
        child.kill();
    }

    let nullable = |number: Option<i32>| match number {
        Some(number) => Value::new_int(call.ctx.clone(), number),
        None => Value::new_null(call.ctx.clone()),
    };
    let answer = Object::new(call.ctx.clone())?;
    answer.set("status", nullable(child.status.and_then(|status| status.exit_status())))?;
    answer.set("signal", nullable(child.status.and_then(|status| status.terminating_signal())))?;
    answer.set("stdout", call.answer_bytes(&child.output)?)?;
    answer.set("timedOut", !finished)?;
    call.answer(answer)
}

fn refused(call: &'static str, errno: Errno, path: &str) -> Failure {
    Failure::System { errno, call: Some(call), path: Some(path.to_owned()) }
}

fn wrong(name: &str, wanted: &str) -> Failure {
    Failure::Type(format!("spawn: {name} must be {wanted}"))
}

fn read_program(options: &Object<'_>) -> Result<Program, Failure> {
    let get = |name: &str| options.get::<_, Value>(name);
    let path = string(&get("path")?).ok_or_else(|| wrong("path", "a string"))??;
    let args = strings(get("args")?).ok_or_else(|| wrong("args", "an array of strings"))??;
    let variables = get("variables")?.into_object().ok_or_else(|| wrong("variables", "an object"))?;
    let mut changes = Vec::new();
    for name in variables.keys::<Value>() {
        let name = text::from_js(&name?)?;
        let value =
            string(&variables.get::<_, Value>(name.as_str())?).ok_or_else(|| wrong("variables", "strings"))??;
        changes.push((name, value));
    }
    let wait = get("deadlineMs")?.as_number().ok_or_else(|| wrong("deadlineMs", "a number"))?;
    let max_output = integer(&get("maxOutput")?)
        .and_then(|max| usize::try_from(max).ok())
        .ok_or_else(|| wrong("maxOutput", "an integer from 0 to 2147483647"))?;
    let texts = [&path].into_iter().chain(&args).chain(changes.iter().flat_map(|(name, value)| [name, value]));
    let bad_name = |(name, _): &(String, String)| name.is_empty() || name.contains('=');
    if texts.into_iter().any(|text| text.contains('\0')) || changes.iter().any(bad_name) {
        return Err(refused("execve", Errno::INVAL, &path));
    }
    Ok(Program { path, args, changes, wait: time::duration(wait), max_output })
}

/// None: it is no string.
fn string(value: &Value<'_>) -> Option<Result<String, Failure>> {
    value.is_string().then(|| text::from_js(value))
}

/// None: it is no array of strings.
fn strings(value: Value<'_>) -> Option<Result<Vec<String>, Failure>> {
    value.into_array()?.iter().map(|item| string(&item.ok()?)).collect()
}

/// This executable as a process that nobody waits for.
pub fn detach<'js>(call: &Call<'_, 'js>) -> Answer<'js> {
    let wrong = || Failure::Type("detach: args must be an array of strings, argv[0] included".into());
    let args = strings(call.value(0)).ok_or_else(wrong)??;
    let (own, rest) = args.split_first().ok_or_else(wrong)?;
    let mut command = Command::new(OWN);
    command.arg0(own).args(rest);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    // SAFETY: setsid(2) is all that happens between fork and execve.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            Ok(())
        })
    };
    command.spawn().map_err(|error| refused("execve", errno_of(&error), OWN))?;
    call.answer(())
}

const OWN: &str = "/proc/self/exe";

struct Child {
    pid: Pid,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    output: Vec<u8>,
    status: Option<WaitStatus>,
}

fn start(program: &Program) -> Result<Child, Errno> {
    // A path without a slash would be looked up in PATH.
    let path = if program.path.contains('/') { program.path.clone() } else { format!("./{}", program.path) };
    let mut command = Command::new(path);
    if let Some((own, rest)) = program.args.split_first() {
        command.arg0(own).args(rest);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let parent = getpid();
    let environment = environment::with(&program.changes);
    // SAFETY: between fork and execve there are system calls and an assignment; neither memory is allocated nor a lock
    // taken.
    unsafe {
        command.pre_exec(move || {
            environment.make_own();
            // std does as much for SIGPIPE.
            libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
            end_with(parent)
        })
    };
    // Whoever started us may ignore SIGCHLD, which is inherited: then the kernel would not keep the child's status.
    // SAFETY: the default action for SIGCHLD runs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    let mut child = command.spawn().map_err(|error| errno_of(&error))?;
    let mut child = Child {
        pid: Pid::from_child(&child),
        stdin: child.stdin.take().map(OwnedFd::from),
        stdout: child.stdout.take().map(OwnedFd::from),
        output: Vec::new(),
        status: None,
    };
    // A write of more than the pipe has room for must not wait for a child that itself waits for us to read.
    match child.stdin.as_ref().map_or(Ok(()), |stdin| ioctl_fionbio(stdin, true)) {
        Ok(()) => Ok(child),
        Err(errno) => {
            child.kill();
            Err(errno)
        }
    }
}

/// In the child: whatever ends us ends it, too. A runtime kills us at its deadline with SIGKILL and calls DEL; what the
/// child did after that, nobody would undo. The kernel sends the signal before our own end can be waited for.
///
/// It does so when the *thread* that has made the child ends: we have only one. An execve leaves the setting alone,
/// unless the program is set-user-ID or has capabilities; a child's own children do not inherit it.
fn end_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Had the parent ended before that, no signal would come. None: it is in another PID namespace than its child, and
    // cannot be told from whoever has adopted that.
    if getppid().is_some_and(|now| now != parent) {
        return Err(Errno::SRCH.into());
    }
    Ok(())
}

impl Child {
    /// Feeds stdin and reads stdout until the child has closed stdout and taken (or refused) its stdin. False: the
    /// deadline came first. More output than `max` is EFBIG.
    fn exchange(&mut self, stdin: &[u8], max: usize, end: Instant) -> Result<bool, Errno> {
        let mut unsent = stdin;
        loop {
            if unsent.is_empty() {
                self.stdin = None;
            }
            let mut entries = Vec::with_capacity(2);
            entries.extend(self.stdout.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            entries.extend(self.stdin.as_ref().map(|fd| PollFd::new(fd, PollFlags::OUT)));
            if entries.is_empty() {
                return Ok(true);
            }
            if poll_until(&mut entries, Some(end))? == 0 {
                return Ok(false);
            }
            let mut ready = entries.iter().map(|entry| !entry.revents().is_empty());
            let readable = self.stdout.is_some() && ready.next() == Some(true);
            let writable = self.stdin.is_some() && ready.next() == Some(true);
            if readable {
                self.take_output(max)?;
            }
            if writable {
                unsent = self.feed(unsent)?;
            }
        }
    }

    fn take_output(&mut self, max: usize) -> Result<(), Errno> {
        let Some(stdout) = &self.stdout else { return Ok(()) };
        self.output.try_reserve(CHUNK).map_err(|_| Errno::NOMEM)?;
        if retry_on_intr(|| rustix::io::read(stdout.as_fd(), rustix::buffer::spare_capacity(&mut self.output)))? == 0 {
            self.stdout = None;
        }
        if self.output.len() > max { Err(Errno::FBIG) } else { Ok(()) }
    }

    /// Returns what is still to be sent.
    fn feed<'a>(&mut self, unsent: &'a [u8]) -> Result<&'a [u8], Errno> {
        let Some(stdin) = &self.stdin else { return Ok(&[]) };
        match rustix::io::write(stdin, unsent) {
            Ok(written) => Ok(&unsent[written..]),
            Err(Errno::AGAIN | Errno::INTR) => Ok(unsent),
            // The child needs no (more) input, which is its own business.
            Err(Errno::PIPE) => Ok(&[]),
            Err(errno) => Err(errno),
        }
    }

    /// Waits for the child's end. False: the deadline came first.
    fn wait_until(&mut self, end: Instant) -> Result<bool, Errno> {
        let deadline = Deadline::new(end.saturating_duration_since(Instant::now()));
        loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(ended) => {
                    self.status = ended.map(|(_, status)| status);
                    return Ok(true);
                }
                Err(Errno::INTR) if deadline.is_over() => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Ends the child, unless it has ended, and takes its status: none stays behind as a zombie.
    fn kill(&mut self) {
        // It can only fail where the child is gone already, and so can the wait.
        let _gone = kill_process(self.pid, Signal::KILL);
        if let Ok(ended) = retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty())) {
            self.status = ended.map(|(_, status)| status);
        }
    }
}
