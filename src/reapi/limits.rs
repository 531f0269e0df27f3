//! Every limit on remote work, in one place. The last column names the module that holds it, in `reapi`
//! or below `src`; a limit without a link is a constant there, known to nobody else.
//!
//! # Calls and connections
//!
//! | limit | bounds | why this number | held by |
//! |---|---|---|---|
//! | [`jobs_in_flight`] | jobs of a link on their way through the farm | half as many again as execute, so that lookups, uploads and downloads overlap executions | `link/run` |
//! | `jobs` (option) | executions under way | the user's choice | `exec/remote/execution_limit` |
//! | `remote_max_connections` (option) | connections to one address | Bazel's option and default | `transport/pool` |
//! | [`MOST_STREAMS`] | calls on one connection | servers commonly allow 100 concurrent streams | `transport/pool` |
//! | [`BULK_STREAMS`] | blob streams on one connection before another is opened | a few streams fill a connection's window | `transport/pool` |
//! | (learned) | calls to one address | halves when the server reports overload, then grows by one | `health/concurrency` |
//! | [`FIND_MISSING_CALLS`] | `FindMissingBlobs` at a time | one under way, one filling up | `cas/upload/scheduler` |
//! | [`BATCH_UPDATE_CALLS`] | `BatchUpdateBlobs` at a time | four times 4 MiB keep a long line busy | `cas/upload/scheduler` |
//! | [`WRITE_STREAMS`] | `Write` streams at a time | [`BYTES_ON_THE_LINE`] is the narrower limit for large blobs | `cas/upload/scheduler` |
//! | [`BATCH_READ_CALLS`] | `BatchReadBlobs` at a time | as for uploads | `cas/download` |
//! | [`READ_STREAMS`] | `Read` streams at a time | each may hold a large object in memory | `cas/download` |
//! | [`BATCH_FALLBACK_READS`], [`BATCH_FALLBACK_WRITES`] | streams for blobs that one batch did not carry | as for large blobs, for each batch | `cas/batch_read`, `cas/batch_update` |
//! | [`STORES`] | local results on their way to the farm | their calls are combined, so that a slow server gets many at once; each has a call of its own at the end | `link/stores` |
//! | [`HTTP_REQUESTS_OF_BATCH`] | requests to an HTTP cache for one batch | small blobs need not wait for each other, and a server is not flooded | `http_cache/services` |
//!
//! # Bytes and counts
//!
//! | limit | bounds | why this number | held by |
//! |---|---|---|---|
//! | [`LARGEST_MESSAGE`] | one incoming message | twice gRPC's default of 4 MiB, which servers assume | `transport/call` |
//! | [`crate::pb::bounded::MOST_FIELDS`] | fields of one incoming message | three for each digest that a call asks about, times three | `pb/bounded` |
//! | [`INBOUND_BYTES`] | incoming messages of a link before they are decoded | sixteen of the largest at once | `transport/inbound` |
//! | [`RESULT_BYTES`] | outputs and stderr that the jobs of a link receive, and hold until they are written | the largest output; large ones wait for each other | `cas/memory` |
//! | [`STORED_BYTES`] | local results that wait to be uploaded, or are on their way; more are not uploaded | they are held in memory | `link/stores` |
//! | [`STDERR_OF_WAITING`] | stderr in the result of a job that waits for memory | nothing else of such a result is kept | `exec/remote/fetch` |
//! | [`LARGEST_OUTPUT`] | one output, as its digest declares it | no object of one module is larger | `cas/incoming`, `exec/remote/fetch` |
//! | [`LONGEST_OPERATION_NAME`] | the name by which an execution is resumed and cancelled | it is kept as long as the execution runs; servers' names are UUIDs with a prefix | `execution/operation` |
//! | [`PARTIAL_STDERR`] | stderr of an execution that has no result | a failure is kept until its job is done | `execution/operation` |
//! | [`LARGEST_STDERR`] | stderr of a result | no compiler prints that much | `exec/remote/fetch` |
//! | [`HEAD`] | bytes of an output that are checked before the rest is fetched | every format shows itself in them | `cas/incoming` |
//! | [`HTTP_PIPE`] | what one side of a connection to an HTTP cache has written and the other not read | a batch is read as it arrives | `http_cache` |
//! | `LARGEST_ANSWER` | each output of a credential helper | a few headers | `transport/credentials` |
//! | [`LARGEST_TLS_FILE`] | each file of certificates or keys | the authorities of a system have less than 1 MiB | `transport/tls`, `config/authorities` |
//! | [`LARGEST_BES_ANSWER`] | one answer of a Build Event Service | it holds a number and a name | `event_service` |
//! | `CAPACITY`, `RESERVED` | build events that are kept until they are acknowledged | the events of some thousand jobs | `bes/queue` |
//! | `PROGRESS_TEXT`, `PROGRESS_PIECE` | text of a link in build events, in all and in one | what a person reads | `bes/invocation` |
//! | `LONGEST_STDERR`, `LONGEST_MESSAGE`, `MOST_FAILURES` | what build events say of failed jobs | the same | `bes/invocation` |
//! | [`FIRST_ALLOCATION`] | memory for a blob before its bytes arrive | a server's word alone costs no more | `cas/incoming` |
//! | [`ZSTD_WINDOW_LOG`] | window of an incoming zstd frame | what level 19 uses; a frame could ask for 128 MiB | `cas/incoming` |
//! | [`DEFAULT_MESSAGE_LIMIT`], [`MESSAGE_SLACK`], [`SMALLEST_BATCH`] | bytes of a batch | gRPC's default limit, less what is not blobs | `capabilities` |
//! | [`LARGEST_IN_BATCH`] | a blob that shares a call | larger ones gain nothing from it | `cas/learned_limit` |
//! | [`BLOBS_IN_UPDATE`], [`BLOBS_IN_READ`] | blobs of one batch | keeps an answer's fields far below the limit | `cas/upload/scheduler`, `cas/download` |
//! | [`DIGESTS_IN_QUESTION`] | digests of one `FindMissingBlobs` | below every server's message limit | `cas/upload/scheduler`, `cas/find_missing` |
//! | [`WORTH_COMPRESSING`] | a blob that travels as it is | a frame costs more than it saves | `session` |
//! | [`SMALLEST_LEARNED`] | what a refused size can shrink to | a server that refuses this much refuses everything | `cas/learned_limit` |
//! | [`BYTES_ON_THE_LINE`], [`BYTES_OF_A_STREAM`] | uploads under way before less urgent ones wait | 1 Gbit/s takes 70 ms for them | `cas/upload/scheduler` |
//! | [`CHUNK`], [`CHUNKS_READ_AHEAD`] | one message of a `Write`, and those read ahead | what servers' own clients send | `cas/source`, `cas/bytestream` |
//! | [`BUFFERED`] | what a `Write` may have sent without an acknowledgement | buffers of sockets and proxies | `cas/bytestream` |
//! | [`STREAM_WINDOW`], [`CONNECTION_WINDOW`] | bytes that a server may send ahead | 100 Mbit/s over 200 ms for one stream; several streams | `transport/connector` |
//!
//! # Time and attempts
//!
//! | limit | bounds | why this number | held by |
//! |---|---|---|---|
//! | `remote_timeout` (option) | a unary call; a stream without progress | Bazel's option and default | `transport/call` |
//! | [`SLOWEST_LINE`] | adds to the timeout of a call that moves blobs | a line that slow is no use for a link | `transport/call` |
//! | [`SLOWEST_STREAM`] | content that a `Read` must deliver to count as progress | the slowest line, shared by [`READ_STREAMS`] | `cas/bytestream` |
//! | [`FIRST_ANSWER`], [`FIRST_RETRIES`] | connecting; finding out whether a dead server is back, and waiting for that | an absent farm should not cost a link a minute | `connect`, `health/circuit`, `health/retry`, `transport` |
//! | `remote_retries` (option) | attempts of a call after the first | Bazel's option and default | `health/retry` |
//! | [`RETRY_BUDGET`], [`RETRY_REFUND_PERCENT`] | attempts of a link after each call's first | many jobs that fail alike must not multiply | `health/retry` |
//! | [`LONGEST_ASKED_PAUSE`] | a pause that a server asks for | this machine is the better place: a longer one ends the attempts | `health/retry` |
//! | [`HALF_OPEN_AFTER`] | time until one call tries a dead server again, unless another link begins | a restarted server is found during the link | `health/circuit` |
//! | [`FAILED_IN_A_ROW`] | jobs at which workers fail until a link uses the farm as a cache | a single bad worker does not fail at so many while others succeed | `link/farm` |
//! | [`FRUITLESS_REPAIRS`] | rounds that re-upload inputs and find nothing new | one may cross with another job's upload | `execution` |
//! | [`LATE_UPDATE`] | how late a sign of life may be | servers send one each minute | `execution` |
//! | [`GOOD_STREAM`] | age of a stream whose break is no failed attempt | proxies cut long streams | `execution` |
//! | [`LONGEST_STAGE`] | a stage of an execution | no queue and no compile takes longer | `execution` |
//! | [`CANCELLATION`] | cancelling what a link leaves behind | the linker is waiting | `execution/cancel` |
//! | [`CLOSING_SHARE`] of the link's time, between [`CLOSING_SHORTEST`] and [`CLOSING_LONGEST`] | waiting for optional results on their way and for cancellations | no one notices so little at the end of a link | `link/farm` |
//! | [`STORING_PAUSE`] | how long a cache may take nothing at the end of a link before its uploads are given up | a full batch takes that long on a line of 10 Mbit/s | `link/stores` |
//! | the link's time, between [`STORING_SHORTEST`] and [`STORING_LONGEST`] | uploads at the end of a link | who comes next finds the results, but the linker is waiting | `link/stores` |
//! | `bes_timeout` (option) | sending build events at the end of a link | the linker is waiting | `bes/publisher` |
//! | `RETRIES`, `MOST_ATTEMPTS`, `LONGEST_PAUSE` | attempts to send build events, and the pauses between them | as Bazel; a server that takes one event at a time is no use | `bes/stream` |
//! | `GOODBYE` | how long a server may take to end a stream that it has acknowledged | nothing more can come | `bes/stream` |
//! | `LONGEST_CALL` | a lifecycle event | it is optional | `bes/lifecycle` |
//! | `AFTER_SIGNAL` | build events of an interrupted link | the user is waiting | `bes/publication` |
//! | `LONGEST_END` | the last events of a launched build | nothing waits for them | `bes/build` |
//! | [`PRESENT_FOR`] | how long a blob is believed to be in the CAS | servers keep what they were asked about for longer | `cas/upload/tracker` |

use std::num::NonZeroUsize;
use std::time::Duration;

/// Jobs on their way at a time so that `executions` can be under way: the others are looked up,
/// uploaded or fetched meanwhile.
#[must_use]
pub(crate) fn jobs_in_flight(executions: NonZeroUsize) -> usize {
    executions.get() + executions.get().div_ceil(2)
}

pub(crate) const MOST_STREAMS: usize = 100;
pub(crate) const BULK_STREAMS: usize = 4;
pub(crate) const FIND_MISSING_CALLS: usize = 2;
pub(crate) const BATCH_UPDATE_CALLS: usize = 4;
pub(crate) const WRITE_STREAMS: usize = 8;
pub(crate) const BATCH_READ_CALLS: usize = 4;
pub(crate) const READ_STREAMS: usize = 8;
pub(crate) const BATCH_FALLBACK_READS: usize = 8;
pub(crate) const BATCH_FALLBACK_WRITES: usize = 4;
pub(crate) const STORES: usize = 64;
pub(crate) const HTTP_REQUESTS_OF_BATCH: usize = 16;

pub(crate) const LARGEST_MESSAGE: usize = 8 << 20;
pub(crate) const INBOUND_BYTES: usize = 128 << 20;
pub(crate) const RESULT_BYTES: u64 = 1 << 30;
pub(crate) const STORED_BYTES: usize = 512 << 20;
pub(crate) const STDERR_OF_WAITING: usize = 64 << 10;
/// What an execution without a result printed.
pub(crate) const PARTIAL_STDERR: usize = 64 << 10;
pub(crate) const LONGEST_OPERATION_NAME: usize = 4 << 10;
pub(crate) const LARGEST_OUTPUT: u64 = 1 << 30;
pub(crate) const LARGEST_STDERR: u64 = 16 << 20;
pub(crate) const HEAD: u64 = 4 << 10;
pub(crate) const HTTP_PIPE: usize = 256 << 10;
pub(crate) const LARGEST_BES_ANSWER: usize = 64 << 10;
pub(crate) const LARGEST_TLS_FILE: u64 = 16 << 20;
pub(crate) const FIRST_ALLOCATION: u64 = 8 << 20;
pub(crate) const ZSTD_WINDOW_LOG: u32 = 23;
pub(crate) const DEFAULT_MESSAGE_LIMIT: usize = 4 << 20;
pub(crate) const MESSAGE_SLACK: usize = 128 << 10;
pub(crate) const SMALLEST_BATCH: usize = 4 << 10;
pub(crate) const LARGEST_IN_BATCH: usize = 1 << 20;
pub(crate) const BLOBS_IN_UPDATE: usize = 4000;
pub(crate) const BLOBS_IN_READ: usize = 1000;
pub(crate) const DIGESTS_IN_QUESTION: usize = 10_000;
pub(crate) const WORTH_COMPRESSING: u64 = 1024;
pub(crate) const SMALLEST_LEARNED: usize = 1024;
pub(crate) const BYTES_ON_THE_LINE: usize = 8 << 20;
/// A large blob shares the connection with others, however large it is; where the server slows a
/// stream down, others must fill the gap.
pub(crate) const BYTES_OF_A_STREAM: usize = BYTES_ON_THE_LINE / 2;
pub(crate) const CHUNK: usize = 128 << 10;
pub(crate) const CHUNKS_READ_AHEAD: usize = 2;
/// Bytes of an upload that buffers on the way may hold while the server accepts nothing more.
pub(crate) const BUFFERED: u64 = 1 << 20;
pub(crate) const STREAM_WINDOW: u32 = 4 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 32 << 20;

/// Bytes a second, shared by all calls that move blobs.
pub(crate) const SLOWEST_LINE: u64 = 32 << 10;
/// Bytes a second of one stream.
pub(crate) const SLOWEST_STREAM: u64 = SLOWEST_LINE / READ_STREAMS as u64;
pub(crate) const FIRST_ANSWER: Duration = Duration::from_secs(5);
pub(crate) const FIRST_RETRIES: u32 = 2;
pub(crate) const RETRY_BUDGET: i64 = 500;
pub(crate) const RETRY_REFUND_PERCENT: i64 = 20;
pub(crate) const LONGEST_ASKED_PAUSE: Duration = Duration::from_mins(2);
pub(crate) const HALF_OPEN_AFTER: Duration = Duration::from_secs(15);
pub(crate) const FAILED_IN_A_ROW: usize = 20;
pub(crate) const FRUITLESS_REPAIRS: u32 = 2;
/// A quarter of `remote_timeout`, but no more than this.
pub(crate) const LATE_UPDATE: Duration = Duration::from_secs(15);
pub(crate) const GOOD_STREAM: Duration = Duration::from_secs(10);
pub const LONGEST_STAGE: Duration = Duration::from_hours(2);
pub(crate) const CANCELLATION: Duration = Duration::from_secs(3);
pub(crate) const CLOSING_SHARE: u32 = 40;
pub(crate) const CLOSING_SHORTEST: Duration = Duration::from_millis(100);
pub(crate) const CLOSING_LONGEST: Duration = Duration::from_secs(3);
pub(crate) const STORING_PAUSE: Duration = Duration::from_secs(15);
pub(crate) const STORING_SHORTEST: Duration = Duration::from_secs(30);
pub(crate) const STORING_LONGEST: Duration = Duration::from_mins(2);
pub const PRESENT_FOR: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    const SOURCE: &str = include_str!("limits.rs");

    /// Of each row of the tables: its first cell and its last one.
    fn rows() -> Vec<(&'static str, &'static str)> {
        let lines = SOURCE
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "));
        let cells = lines.filter_map(|line| {
            let (limit, rest) = line.split_once(" | ")?;
            let (_, holder) = rest.trim_end_matches(" |").rsplit_once(" | ")?;
            Some((limit, holder))
        });
        cells.filter(|(limit, _)| *limit != "limit").collect()
    }

    /// What stands in backticks.
    fn names(cell: &'static str) -> impl Iterator<Item = &'static str> {
        cell.split('`').skip(1).step_by(2)
    }

    fn file_of(module: &str) -> Option<PathBuf> {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = ["reapi/", ""].into_iter().flat_map(|dir| {
            [".rs", "/mod.rs"].map(|suffix| src.join(format!("{dir}{module}{suffix}")))
        });
        files.into_iter().find(|path| path.is_file())
    }

    fn defines(source: &str, name: &str) -> bool {
        source.contains(&format!("const {name}: ")) || source.contains(&format!("fn {name}("))
    }

    #[test]
    fn each_limit_of_the_tables_is_where_they_say() {
        for (limit, holders) in rows() {
            for holder in names(holders) {
                let file = file_of(holder).unwrap_or_else(|| panic!("no module is `{holder}`"));
                let holder = fs_err::read_to_string(file).expect("a source");
                let own = limit
                    .split(", ")
                    .filter(|it| it.starts_with('`') && !it.contains('('));
                for name in own.flat_map(names) {
                    assert!(defines(&holder, name), "{name} is not in {holders}");
                }
            }
            assert!(!holders.is_empty(), "{limit}");
        }
    }

    #[test]
    fn the_options_of_the_tables_exist() {
        for (limit, _) in rows()
            .iter()
            .filter(|(limit, _)| limit.ends_with("(option)"))
        {
            for name in names(limit) {
                let entry = format!("\"{name}\"");
                let table = include_str!("../config/table.rs");
                assert!(table.contains(&entry), "{name}");
            }
        }
    }

    #[test]
    fn each_limit_that_stands_here_is_in_a_table() {
        let constants = SOURCE.lines().filter_map(|line| {
            let (_, rest) = line.strip_prefix("pub")?.split_once("const ")?;
            rest.split_once(':')
        });
        let mut count = 0;
        for (name, _) in constants {
            assert!(SOURCE.contains(&format!("[`{name}`]")), "{name}");
            count += 1;
        }
        assert!(count > 50, "only {count} limits are seen");
    }
}
