//! Frames on a byte stream: a length in four bytes, big endian, and as many bytes of JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use squall_model::protocol::MAX_FRAME;
use std::io::{self, Read, Write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

/// A value as a frame.
fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, value)?;
    let length = frame.len() - 4;
    if length > MAX_FRAME {
        return Err(invalid(format!("a message of {length} bytes is longer than {MAX_FRAME}")));
    }
    frame[..4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(frame)
}

/// The length of a body, from the four bytes before it.
fn body_length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_FRAME {
        Err(invalid(format!("not a frame of Squall: length {length}")))
    } else {
        Ok(length)
    }
}

/// Writes one frame.
pub(crate) fn write(stream: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    stream.write_all(&encode(value)?)?;
    stream.flush()
}

/// Reads one frame; `None` where the stream ended between frames.
pub(crate) fn read<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    match stream.read(&mut head)? {
        0 => return Ok(None),
        got => stream.read_exact(&mut head[got..])?,
    }
    let mut body = vec![0; body_length(head)?];
    stream.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

/// Writes one frame without blocking the thread.
pub(crate) async fn send(stream: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    stream.write_all(&encode(value)?).await?;
    stream.flush().await
}

/// Reads one frame without blocking the thread; an ended stream is an error.
pub(crate) async fn receive<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let mut body = vec![0; body_length(head)?];
    stream.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::protocol::{Call, Request};

    #[test]
    fn frames_survive_the_stream_and_rubbish_is_refused() {
        let request = Request { number: 7, call: Call::Renew };
        let mut stream = Vec::new();
        write(&mut stream, &request).unwrap();
        write(&mut stream, &request).unwrap();
        let mut reader = stream.as_slice();
        assert_eq!(read::<Request>(&mut reader).unwrap(), Some(request.clone()));
        assert_eq!(read::<Request>(&mut reader).unwrap(), Some(request));
        assert_eq!(read::<Request>(&mut reader).unwrap(), None);

        assert!(
            read::<Request>(&mut &b"GET / HTTP/1.1\r\n\r\n"[..]).is_err(),
            "another protocol was taken for ours"
        );
        assert!(read::<Request>(&mut &stream[..9]).is_err(), "half a frame was taken for a whole one");
    }
}
