//! Types to bytes and back. The only file that names bincode: another codec would change this file alone.
//! Always with a limit (without one, nine hostile bytes abort the process), and trailing bytes are refused.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::limits::REPLY_BYTES_MAX;
use crate::error::{Error, Result};

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<REPLY_BYTES_MAX>,
> = bincode::config::standard().with_limit::<REPLY_BYTES_MAX>();

/// Appends the message to `out`.
///
/// # Errors
/// `Internal` for what cannot be encoded. The message's size is judged by `frame.rs`.
pub fn encode_into<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<()> {
    bincode::serde::encode_into_std_write(message, out, CONFIG)
        .map(|_| ())
        .map_err(|e| Error::internal(format!("a message cannot be encoded: {e}")))
}

/// # Errors
/// `Protocol` when the bytes are not exactly one message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let (message, used) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|e| Error::protocol(format!("a message cannot be read: {e}")))?;
    if used != bytes.len() {
        return Err(Error::protocol(format!("{} bytes too many behind a message", bytes.len() - used)));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OpId, SessionId};
    use crate::wire::message::*;

    fn bytes_of<T: Serialize>(message: &T) -> Vec<u8> {
        let mut out = Vec::new();
        encode_into(message, &mut out).unwrap();
        out
    }

    /// Golden bytes: a change here is a change of the protocol, and raises its version in `hello.rs`.
    #[test]
    fn messages_keep_their_bytes() {
        let nonce = [7; 16];
        let open = Open { client: ClientKind::Cli, nonce, project: None, cwd: "/w".into(), pid: 300 };
        let mut golden = vec![1, 0, 1];
        golden.extend([7; 16]);
        golden.extend([0, 2, b'/', b'w', 251, 44, 1]);
        assert_eq!(bytes_of(&Envelope { serial: 1, body: ToDaemon::Open(open) }), golden);

        let ask = |request| {
            let op = OpId { nonce, line: 9 };
            bytes_of(&Envelope { serial: 2, body: ToDaemon::Ask(Ask { op, attempt: 1, is_replay: false, request }) })
        };
        let mut golden = vec![2, 1];
        golden.extend([7; 16]);
        golden.extend([9, 1, 0]);
        assert_eq!(ask(Request::Mcp(b"{}".to_vec())), [&golden[..], &[0, 2, b'{', b'}']].concat());
        assert_eq!(ask(Request::Verify), [&golden[..], &[8]].concat());
        assert_eq!(ask(Request::Status), [&golden[..], &[9]].concat());
        assert_eq!(ask(Request::Stop(StopReason::HandOver)), [&golden[..], &[10, 1]].concat());
        assert_eq!(bytes_of(&Envelope { serial: 0, body: ToDaemon::Cancel(5) }), [0, 2, 5]);
        assert_eq!(bytes_of(&Envelope { serial: 0, body: ToDaemon::Acknowledge(vec![]) }), [0, 3, 0]);

        let opened = Opened { session: SessionId::new("cli").unwrap(), version: "0.1.0".into(), pid: 1 };
        let golden = [&[1, 0, 3][..], b"cli", &[5], b"0.1.0", &[1]].concat();
        assert_eq!(bytes_of(&Envelope { serial: 1, body: ToClient::Opened(opened) }), golden);
        let done = Response::Mcp { line: Some(b"{}".to_vec()), keep: Keep::ForReplay };
        let golden = [2, 1, 0, 1, 2, b'{', b'}', 1];
        assert_eq!(bytes_of(&Envelope { serial: 2, body: ToClient::Done(Box::new(done)) }), golden);
        let failed = Envelope { serial: 2, body: ToClient::Failed(Error::shutting_down("so")) };
        assert_eq!(bytes_of(&failed), [2, 2, 8, 2, b's', b'o']);
        assert_eq!(bytes_of(&Envelope { serial: 0, body: ToClient::Line(b"{}".to_vec()) }), [0, 3, 2, b'{', b'}']);
    }

    #[test]
    fn nine_hostile_bytes_are_an_error() {
        // Serial 0, then ToClient::Line with a length of 2^63 and nothing behind it.
        let hostile = [0, 3, 253, 0, 0, 0, 0, 0, 0, 0, 128];
        assert!(decode::<Envelope<ToClient>>(&hostile).is_err());
        assert!(decode::<Vec<u8>>(&hostile[2..]).is_err());
        assert!(decode::<Vec<String>>(&hostile[2..]).is_err());
    }

    #[test]
    fn trailing_and_missing_bytes_and_unknown_tags_are_errors() {
        let whole = bytes_of(&Envelope { serial: 9, body: ToDaemon::Cancel(5) });
        assert!(decode::<Envelope<ToDaemon>>(&whole).is_ok());
        assert!(decode::<Envelope<ToDaemon>>(&[&whole[..], &[0]].concat()).is_err());
        for end in 0..whole.len() {
            assert!(decode::<Envelope<ToDaemon>>(&whole[..end]).is_err(), "{end} bytes");
        }
        assert!(decode::<Envelope<ToDaemon>>(&[9, 77, 5]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = decode::<Envelope<ToDaemon>>(&bytes);
            let _ = decode::<Envelope<ToClient>>(&bytes);
        }
    }
}
