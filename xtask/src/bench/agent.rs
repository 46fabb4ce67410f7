//! An agent to call, as the brain calls it: frames of a length (32 bits, big endian) and JSON on its standard input
//! and output.

use super::processes::Scratch;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A living agent. When the value goes its stream ends, it puts everything back and ends too.
pub(super) struct Agent {
    child: Child,
    stream: Option<(ChildStdin, ChildStdout)>,
    number: u64,
}

impl Agent {
    pub(super) fn start(scratch: &Scratch, squall: &Path) -> Result<Self, String> {
        let state = scratch.path("state");
        let mut command = scratch.command(squall, &["agent", "--state", &state.to_string_lossy()]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("could not start an agent: {error}"))?;
        let stream = child.stdin.take().zip(child.stdout.take());
        let mut agent = Self { child, stream, number: 0 };
        agent.call(&json!({"call": "hello", "version": 1, "run": "bench", "lease": "60s"}))?;
        Ok(agent)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Calls, and waits for the answer. What the agent refuses is an error in its own words.
    pub(super) fn call(&mut self, call: &Value) -> Result<Value, String> {
        self.number += 1;
        let request = json!({"number": self.number, "call": call}).to_string();
        let (stdin, stdout) = self.stream.as_mut().ok_or("the agent has no stream")?;
        let mut talk = || {
            let length = (request.len() as u32).to_be_bytes();
            stdin.write_all(&[&length, request.as_bytes()].concat())?;
            let mut length = [0; 4];
            stdout.read_exact(&mut length)?;
            let mut answer = vec![0; u32::from_be_bytes(length) as usize];
            stdout.read_exact(&mut answer).map(|()| answer)
        };
        let answer = talk().map_err(|error| format!("the agent does not answer: {error}"))?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        match &answer["answer"] {
            Value::Object(result) if result.contains_key("Ok") => Ok(result["Ok"].clone()),
            refused => Err(refused["Err"]["message"].as_str().unwrap_or("it answered nonsense").to_owned()),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stream = None;
        let _ = self.child.wait();
    }
}
