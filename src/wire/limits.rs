//! Every limit that a peer can hit, in one table. A limit is never silent: whoever meets one gets a sentence
//! that names it. Sizes are in bytes, times in the unit that the name ends with.

use std::time::Duration;

/// One frame's body. Checked before it is sent and before anything is allocated for it.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// One line of JSON-RPC, without its newline.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// One message to the daemon: the longest line, and room for the envelope around it.
pub const REQUEST_BYTES_MAX: usize = LINE_BYTES_MAX + 4096;
/// One message from the daemon, continued over several frames.
pub const REPLY_BYTES_MAX: usize = 8 << 20;
/// A body is read, and its buffer grows, in steps of this size: announcing much costs the announcer.
pub const READ_STEP_BYTES: usize = 64 << 10;
/// The sentence behind a refused Hello.
pub const REFUSAL_BYTES_MAX: usize = 512;

/// Sessions at once, far more than a person has agents. Whoever comes later waits for `SESSION_WAIT`, then is told.
pub const SESSIONS_MAX: usize = 256;
/// Connections that have not said Hello yet. More wait in the socket's own queue.
pub const HANDSHAKES_MAX: usize = 256;
/// Requests of one session at once. More are not read until one is answered.
pub const IN_FLIGHT_MAX: usize = 32;
/// What the requests of one session may take together, beside the one that is being read.
pub const IN_FLIGHT_BYTES_MAX: usize = 4 << 20;
/// Operations in one acknowledgement.
pub const ACKNOWLEDGED_MAX: usize = 64;
/// Lines that a shim keeps to restore its session. A JSON-RPC session has one or two (`initialize`).
pub const KEPT_LINES_MAX: usize = 8;
/// Times that one request is sent; after as many deaths of the daemon the request is answered with an error.
pub const ATTEMPTS_MAX: u8 = 5;

/// A memory's text.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// Tags of one memory.
pub const TAGS_MAX: usize = 32;
/// One tag.
pub const TAG_BYTES_MAX: usize = 64;
/// The JSON object beside a memory.
pub const METADATA_BYTES_MAX: usize = 16 << 10;
/// A question.
pub const QUESTION_BYTES_MAX: usize = 64 << 10;
/// Memories in one answer.
pub const RESULTS_MAX: u32 = 200;
/// Texts in one answer, together; the rest comes with the next page.
pub const RESULT_TEXTS_BYTES_MAX: usize = 4 << 20;
/// Memories named in one request.
pub const IDS_MAX: usize = 500;
/// Commits that one commit can name as those it takes back, and that one request can name.
pub const COMMITS_NAMED_MAX: usize = 64;
/// Memories in one part of an export; fewer where their texts are long.
pub const EXPORTED_MAX: u32 = 4_000;
/// A topic to purge by: shorter ones fit too much.
pub const TOPIC_CHARS_MIN: usize = 2;

/// From connecting to the whole Hello, on both sides.
pub const HELLO_WITHIN: Duration = Duration::from_secs(2);
/// From Hello to `Open`.
pub const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// From the first byte of a frame to its last.
pub const FRAME_WITHIN: Duration = Duration::from_secs(5);
/// How long a peer may leave a reply unread before its session is ended.
pub const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// How long a connection waits for a free session. Shorter than the time for a Hello, so that the refusal arrives.
pub const SESSION_WAIT: Duration = Duration::from_secs(1);
/// A starter's patience: connecting, waiting for other starters, spawning and connecting again, all together.
pub const START_WITHIN: Duration = Duration::from_secs(10);
/// From the last line of input to the shim's end, while replies are still due.
pub const LAST_REPLIES_WITHIN: Duration = Duration::from_secs(8);
/// From the order to drain to the process's end, whatever hangs. Longer than `drain_ms_max`, shorter than the
/// service manager's patience (`TimeoutStopSec`).
pub const DRAIN_WATCHDOG: Duration = Duration::from_secs(15);
