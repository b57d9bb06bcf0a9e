//! Frames: a little-endian `u32` length, then that many bytes of a message. The length's top bit says that the
//! message goes on in the next frame. Lengths are checked on both sides, and before anything is allocated.

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::codec;
use super::limits::{FRAME_BYTES_MAX, FRAME_WITHIN, READ_STEP_BYTES};
use crate::error::{Error, Result};

const HEADER_BYTES: usize = 4;
/// The message continues in another frame.
const MORE: u32 = 1 << 31;

/// A message as it goes over the wire, in as many frames as it needs.
///
/// # Errors
/// `TooLarge` above `bytes_max`.
pub fn encode<T: Serialize>(message: &T, bytes_max: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; HEADER_BYTES];
    codec::encode_into(message, &mut out)?;
    let len = out.len() - HEADER_BYTES;
    if len > bytes_max {
        return Err(too_large(bytes_max));
    }
    if len <= FRAME_BYTES_MAX {
        out[..HEADER_BYTES].copy_from_slice(&(len as u32).to_le_bytes());
        return Ok(out);
    }
    let body = &out[HEADER_BYTES..];
    let mut frames = Vec::with_capacity(len + len.div_ceil(FRAME_BYTES_MAX) * HEADER_BYTES);
    for (at, part) in body.chunks(FRAME_BYTES_MAX).enumerate() {
        let is_last = (at + 1) * FRAME_BYTES_MAX >= len;
        let header = part.len() as u32 | if is_last { 0 } else { MORE };
        frames.extend_from_slice(&header.to_le_bytes());
        frames.extend_from_slice(part);
    }
    Ok(frames)
}

fn too_large(bytes_max: usize) -> Error {
    Error::too_large(format!("a message may have {} KiB, and this one has more: ask for less", bytes_max >> 10))
}

/// The next message's bytes; `None` at an end between two messages. Waits for the first byte for ever, and for
/// the rest of each frame as long as a frame may take. Not to be cancelled: see [`Incoming`].
///
/// # Errors
/// `Protocol` or `TooLarge` for what no honest peer sends, else the I/O error. The stream is then useless.
pub async fn read_message<R: AsyncRead + Unpin>(stream: &mut R, bytes_max: usize) -> Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    let failed = |e: std::io::Error| Error::io("read from the connection", &e);
    loop {
        let mut header = [0; HEADER_BYTES];
        let mut have = 0;
        if message.is_empty() {
            have = stream.read(&mut header).await.map_err(failed)?;
            if have == 0 {
                return Ok(None);
            }
        }
        let frame = async {
            stream.read_exact(&mut header[have..]).await.map_err(failed)?;
            let header = u32::from_le_bytes(header);
            let len = (header & !MORE) as usize;
            if len == 0 || len > FRAME_BYTES_MAX {
                let limits = format!("a frame has 1 to {FRAME_BYTES_MAX} bytes, and {len} were announced");
                return Err(Error::protocol(limits));
            }
            if message.len() + len > bytes_max {
                return Err(too_large(bytes_max));
            }
            read_body(stream, &mut message, len).await.map_err(failed)?;
            Ok(header & MORE != 0)
        };
        match timeout(FRAME_WITHIN, frame).await {
            Err(_) => return Err(Error::protocol("a frame was begun and not finished within 5 seconds")),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(Some(message)),
        }
    }
}

async fn read_body<R: AsyncRead + Unpin>(stream: &mut R, message: &mut Vec<u8>, len: usize) -> std::io::Result<()> {
    let end = message.len() + len;
    while message.len() < end {
        let step = (end - message.len()).min(READ_STEP_BYTES);
        message.reserve(step);
        if (&mut *stream).take(step as u64).read_buf(message).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Messages read by a task of their own, so that waiting for one can be cancelled and no half-read frame is lost.
/// Dropping it ends the task.
pub struct Incoming {
    messages: mpsc::Receiver<Result<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Incoming {
    /// Starts reading; at most one message is read ahead.
    pub fn start<R: AsyncRead + Unpin + Send + 'static>(mut stream: R, bytes_max: usize) -> Self {
        let (sender, messages) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            while let Some(next) = read_message(&mut stream, bytes_max).await.transpose() {
                let is_end = next.is_err();
                if sender.send(next).await.is_err() || is_end {
                    return;
                }
            }
        });
        Self { messages, task }
    }

    /// The next message's bytes; `None` at the end. Can be cancelled.
    ///
    /// # Errors
    /// As [`read_message`]; nothing follows.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.messages.recv().await.transpose()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    async fn read(bytes: &[u8], bytes_max: usize) -> Result<Option<Vec<u8>>> {
        read_message(&mut &*bytes, bytes_max).await
    }

    fn frame(header: u32, body: &[u8]) -> Vec<u8> {
        [&header.to_le_bytes()[..], body].concat()
    }

    #[tokio::test]
    async fn messages_of_every_size_come_back() {
        for len in [0, 1, 100, FRAME_BYTES_MAX - 5, FRAME_BYTES_MAX - 4, FRAME_BYTES_MAX, 3 * FRAME_BYTES_MAX + 7] {
            let message = vec![7u8; len];
            let bytes = encode(&message, 8 << 20).unwrap();
            let body = read(&bytes, 8 << 20).await.unwrap().unwrap();
            assert_eq!(codec::decode::<Vec<u8>>(&body).unwrap(), message, "{len} bytes");
        }
    }

    #[tokio::test]
    async fn limits_hold_on_both_sides() {
        assert_eq!(encode(&vec![0u8; 2000], 1000).unwrap_err().kind, ErrorKind::TooLarge);
        let long = encode(&vec![0u8; 2000], 8 << 20).unwrap();
        assert_eq!(read(&long, 1000).await.unwrap_err().kind, ErrorKind::TooLarge);
        let two_frames = encode(&vec![0u8; FRAME_BYTES_MAX + 1], 8 << 20).unwrap();
        assert_eq!(read(&two_frames, FRAME_BYTES_MAX).await.unwrap_err().kind, ErrorKind::TooLarge);
    }

    #[tokio::test]
    async fn bad_lengths_are_errors_before_anything_is_allocated() {
        for header in [0, FRAME_BYTES_MAX as u32 + 1, MORE, MORE | (FRAME_BYTES_MAX as u32 + 1), u32::MAX] {
            let error = read(&frame(header, b"abc"), 8 << 20).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Protocol, "{header:#x}");
        }
    }

    #[tokio::test]
    async fn truncation_is_an_error_and_a_clean_end_is_none() {
        assert_eq!(read(b"", 100).await.unwrap(), None);
        let whole = frame(3, b"abc");
        for end in 1..whole.len() {
            assert!(read(&whole[..end], 100).await.is_err(), "{end} bytes");
        }
        assert_eq!(read(&whole, 100).await.unwrap().unwrap(), b"abc");
        assert!(read(&frame(3 | MORE, b"abc"), 100).await.is_err(), "the promised continuation never came");
    }

    #[tokio::test]
    async fn a_frame_that_dribbles_is_cut_off() {
        let (mut slow, mut stream) = tokio::io::duplex(64);
        let writer = tokio::spawn(async move {
            let bytes = frame(60, &[1; 60]);
            for byte in bytes {
                use tokio::io::AsyncWriteExt;
                let _ = slow.write_all(&[byte]).await;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        });
        let error = read_message(&mut stream, 100).await.unwrap_err();
        assert!(error.message.contains("5 seconds"), "{error}");
        writer.abort();
    }

    #[tokio::test]
    async fn waiting_for_a_message_can_be_cancelled() {
        use tokio::io::AsyncWriteExt;
        let (mut writer, stream) = tokio::io::duplex(64);
        let mut incoming = Incoming::start(stream, 100);
        let whole = frame(3, b"abc");
        for byte in whole {
            writer.write_all(&[byte]).await.unwrap();
            tokio::select! {
                biased;
                next = incoming.next() => { assert_eq!(next.unwrap().unwrap(), b"abc"); return; }
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(incoming.next().await.unwrap().unwrap(), b"abc");
    }
}
