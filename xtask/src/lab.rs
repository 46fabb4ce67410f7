//! A second kernel for what this one lacks (netem, control groups of version 2): Debian's User-mode Linux through
//! `lab/kernel`, a script beside the project. Where that is not there, tests that need it say that they are skipped.

use crate::{Outcome, shell};
use std::path::PathBuf;
use std::process::Command;

/// User-mode Linux 6.1 gives back to a process fewer extended registers than newer processors have, which the host's
/// kernel refuses. Preloaded into it, this fills up what is missing with what the process has already.
const WIDE_REGISTERS: &str = r"
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
enum { PEEK_FIRST = 1, PEEK_LAST = 3, GETREGSET = 0x4204, SETREGSET = 0x4205, X86_XSTATE = 0x202 };
long ptrace(int request, ...) {
  va_list list; va_start(list, request);
  int pid = va_arg(list, int); void *address = va_arg(list, void *), *data = va_arg(list, void *);
  va_end(list);
  if (request == SETREGSET && (long)address == X86_XSTATE) {
    static char all[65536]; struct iovec *given = data, whole = {all, sizeof all};
    if (syscall(SYS_ptrace, GETREGSET, pid, address, &whole) == 0) {
      memcpy(all, given->iov_base, given->iov_len < whole.iov_len ? given->iov_len : whole.iov_len);
      return syscall(SYS_ptrace, request, pid, address, &whole);
    }
  }
  if (request >= PEEK_FIRST && request <= PEEK_LAST) {
    long word, result = syscall(SYS_ptrace, request, pid, address, &word);
    if (result < 0) return result;
    errno = 0; return word;
  }
  return syscall(SYS_ptrace, request, pid, address, data);
}
";

/// The script that boots the second kernel, where it is there and may be used.
pub(crate) fn script() -> Option<PathBuf> {
    let script = std::env::var_os("SQUALL_LAB")
        .map_or_else(|| shell::root().join("../shared/lab/kernel"), PathBuf::from);
    (script.is_file() && shell::is_root()).then_some(script)
}

/// A command that runs another one in the second kernel.
pub(crate) fn command(script: &PathBuf, arguments: &[String]) -> Result<Command, String> {
    let mut command = Command::new(script);
    command.args(arguments).current_dir(shell::root()).env("LD_PRELOAD", wide_registers()?);
    Ok(command)
}

fn wide_registers() -> Result<PathBuf, String> {
    let folder = shell::root().join("target/lab");
    let (source, library) = (folder.join("wide_registers.c"), folder.join("wide_registers.so"));
    if std::fs::read_to_string(&source).is_ok_and(|text| text == WIDE_REGISTERS) && library.is_file() {
        return Ok(library);
    }
    let write = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&source, WIDE_REGISTERS));
    write.map_err(|error| format!("could not write {}: {error}", source.display()))?;
    let paths = (source.to_string_lossy(), library.to_string_lossy());
    shell::run("lab", &mut shell::command("cc", &["-shared", "-fPIC", "-O2", "-o", &paths.1, &paths.0]))?;
    Ok(library)
}

/// `cargo xtask lab COMMAND…`
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let script = script().ok_or("there is no lab/kernel beside the project, or you are not root")?;
    if arguments.is_empty() {
        return Err("usage: cargo xtask lab COMMAND…".to_owned());
    }
    let status = command(&script, arguments)?.status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("the command ended with {status}")) }
}
