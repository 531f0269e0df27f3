//! The one table of everything that can be set: flags, environment variables, keys of the TOML
//! files, help, documentation and defaults are all derived from it.
//!
//! An entry says, in order: the heading of the help, the name, what stands for the value, the help,
//! and the field that takes the value with its parser. Names are Bazel's where Bazel has one.

use super::daemon::DaemonUse;
use super::field::{List, Optional, OptionalSwitch, Scalar, Selection, Switch, Word};
use super::options::Group::{Cache, Farm, Output, Security, Where};
use super::options::Opt;
use super::settings::Strategy;
use super::value::{self, REMOTE_JOBS};
use crate::bes::UploadMode;
use crate::digest::DigestFunction;

/// Options on which more than their own field depends.
pub(super) const CONFIG: &Opt = &CONFIG_ENTRY;
pub(super) const BAZELRC: &Opt = &BAZELRC_ENTRY;
/// Without a home its default is none.
pub const DISK_CACHE: &str = "disk_cache";
/// The limit of compilers on this machine; the launcher reads its variable before anything else.
pub const LOCAL_JOBS: &Opt = &LOCAL_JOBS_ENTRY;

#[rustfmt::skip]
const CONFIG_ENTRY: Opt =
    Opt::new(Output, "config", "NAME", "take the table [config.NAME] too; repeatable", &Selection(|it| &mut it.configs)).common().sensitive();
#[rustfmt::skip]
const BAZELRC_ENTRY: Opt =
    Opt::new(Output, "bazelrc", "FILE", "take the flags about remote execution of this .bazelrc too", &Optional(|it| &mut it.bazelrc, value::path)).sensitive();
#[rustfmt::skip]
const LOCAL_JOBS_ENTRY: Opt =
    Opt::new(Where, "local_jobs", "N", "most local compilers at a time", &Scalar(|it| &mut it.local_jobs, value::count_or_auto)).otherwise("processors").common().lowered(value::slots_taken);

/// All options.
#[rustfmt::skip] // one option, one entry: a table reads best as a table
pub static OPTIONS: &[Opt] = &[
    Opt::new(Where, "remote_executor", "ADDRESS", "farm: grpc://, grpcs:// or unix:", &Optional(|it| &mut it.farm.client.executor, value::address)).otherwise("this machine").common().sensitive().address(),
    Opt::new(Where, "remote_cache", "ADDRESS", "farm's cache, if elsewhere; without a farm also a cache of http:// or https://", &Optional(|it| &mut it.farm.client.cache, value::cache_address)).otherwise("executor").sensitive().address(),
    Opt::new(Where, "strategy", "WHERE", "local, remote, dynamic: both at once", &Word(|it| &mut it.chosen_strategy, &[
        ("auto", None), ("local", Some(Strategy::Local)), ("remote", Some(Strategy::Remote)), ("dynamic", Some(Strategy::Dynamic)),
    ])).default("auto").common(),
    Opt::new(Where, "remote_local_fallback", "", "run here what the farm fails to run", &Switch(|it| &mut it.farm.local_fallback)).default("on"),
    Opt::new(Where, "fallback", "", "ld: let the linker do alone what relto cannot do with it", &Switch(|it| &mut it.linker.fallback)).default("on"),
    Opt::new(Where, "thinlto_compiler", "FILE", "ld: clang of the linker's release", &Optional(|it| &mut it.linker.compiler, value::path)).otherwise("beside the linker").user_only(),
    Opt::new(Where, "toolchain", "FROM", "upload, worker, or a DIR to upload", &Scalar(|it| &mut it.farm.toolchain, value::toolchain)).default("upload").sensitive(),
    Opt::new(Where, "jobs", "N", "most remote executions at a time", &Scalar(|it| &mut it.farm.jobs, |input| Ok(value::count_or_auto(input)?.unwrap_or(REMOTE_JOBS)))).default("auto").common(),
    LOCAL_JOBS_ENTRY,
    Opt::new(Where, "local_ram_resources", "SIZE", "most memory of compilers here, by estimate: `auto` for what is free, 8G, HOST_RAM*.5, `off`; a plain number counts MiB", &Scalar(|it| &mut it.link.local_memory, value::local_memory)).default("auto").lowered(value::memory_taken),
    Opt::new(Where, "daemon", "WHEN", "keep connections in a daemon: auto, on, off; auto starts one for `relto cc` only", &Word(|it| &mut it.daemon.when, &[
        ("auto", DaemonUse::Auto), ("on", DaemonUse::Always), ("off", DaemonUse::Never),
    ])).default("auto").lowered(value::is_used),
    Opt::new(Where, "daemon_idle_timeout", "TIME", "how long a daemon stays without work", &Scalar(|it| &mut it.daemon.idle_timeout, value::positive_duration)).default("10m").lowered(value::time_taken),

    Opt::new(Farm, "remote_instance_name", "NAME", "instance of the farm", &Scalar(|it| &mut it.farm.client.instance_name, value::text)).sensitive(),
    Opt::new(Farm, "remote_default_exec_properties", "KEY=VALUE", "property that workers must have; repeatable", &List(|it| &mut it.farm.platform, value::pair)).common().sensitive(),
    Opt::new(Farm, "remote_exec_properties_large", "KEY=VALUE", "property of the workers for large jobs, instead of or besides the default ones; repeatable", &List(|it| &mut it.farm.large_platform, value::pair)).sensitive(),
    Opt::new(Farm, "large_job_bytes", "SIZE", "a job is large if it reads more than this", &Scalar(|it| &mut it.farm.large_job_bytes, value::size)).default("64M").lowered(value::smallness),
    Opt::new(Farm, "remote_header", "NAME=VALUE", "header to send, @FILE for a secret; repeatable", &List(|it| &mut it.farm.client.headers, value::header)).secret().common().sensitive().credential(),
    Opt::new(Farm, "remote_cache_header", "NAME=VALUE", "the same, to the cache only", &List(|it| &mut it.farm.client.cache_headers, value::header)).secret().sensitive().credential(),
    Opt::new(Farm, "remote_exec_header", "NAME=VALUE", "the same, to the executor only", &List(|it| &mut it.farm.client.exec_headers, value::header)).secret().sensitive().credential(),
    Opt::new(Farm, "invocation_id", "ID", "what the farm shows this link as", &Optional(|it| &mut it.invocation_id, value::identifier)).otherwise("a new one a link, one a build for `relto cc`").sensitive(),
    Opt::new(Farm, "build_request_id", "ID", "what ties invocations together at the farm", &Optional(|it| &mut it.build_request_id, value::identifier)).otherwise("the run of the CI service"),
    Opt::new(Farm, "bes_backend", "ADDRESS", "Build Event Service that shows each link as a page: grpc://, grpcs:// or unix:", &Optional(|it| &mut it.bes.backend, value::address)).otherwise("none").sensitive().address(),
    Opt::new(Farm, "bes_results_url", "URL", "what the invocation id is appended to for the address of a link's page", &Scalar(|it| &mut it.bes.results_url, value::text)).sensitive(),
    Opt::new(Farm, "bes_header", "NAME=VALUE", "header to send to the Build Event Service only, @FILE for a secret; repeatable", &List(|it| &mut it.bes.headers, value::header)).secret().sensitive().credential(),
    Opt::new(Farm, "bes_instance_name", "NAME", "instance of the Build Event Service", &Scalar(|it| &mut it.bes.instance_name, value::text)).sensitive(),
    Opt::new(Farm, "remote_bytestream_uri_prefix", "HOST[/INSTANCE]", "what the addresses of uploaded logs begin with for viewers, where that is not the farm's own address", &Scalar(|it| &mut it.bes.bytestream_uri_prefix, value::text)).sensitive(),
    Opt::new(Farm, "bes_timeout", "TIME", "how long a link waits at its end for its build events; 0: as long as it takes", &Scalar(|it| &mut it.bes.timeout, value::duration_or_zero)).default("10s").lowered(value::time_taken),
    Opt::new(Farm, "bes_upload_mode", "MODE", "wait_for_upload_complete; nowait_for_upload_complete, fully_async: a daemon sends what is left, if there is one", &Word(|it| &mut it.bes.mode, &[
        ("wait_for_upload_complete", UploadMode::Wait), ("nowait_for_upload_complete", UploadMode::Nowait), ("fully_async", UploadMode::FullyAsync),
    ])).default("wait_for_upload_complete"),
    Opt::new(Farm, "bes_lifecycle_events", "", "also send the events about the invocation that some servers demand", &Switch(|it| &mut it.bes.lifecycle_events)).default("off"),
    Opt::new(Farm, "remote_execution_priority", "N", "lower ones are executed first, if the farm has priorities", &Scalar(|it| &mut it.farm.client.caller.execution_priority, value::integer)).default("0").lowered(value::precedence),
    Opt::new(Farm, "remote_result_cache_priority", "N", "lower ones are kept longer, if the farm has priorities", &Scalar(|it| &mut it.farm.client.caller.result_cache_priority, value::integer)).default("0").lowered(value::precedence),
    Opt::new(Farm, "remote_accept_cached", "", "use results from the farm's action cache", &Switch(|it| &mut it.farm.accept_cached)).default("on").lowered(value::is_on),
    Opt::new(Farm, "remote_upload_local_results", "", "upload local results to the farm's action cache", &Switch(|it| &mut it.farm.upload_local_results)).default("on").lowered(value::is_on),
    Opt::new(Farm, "remote_slice_results", "", "with slice_keys: also look results up in the farm's action cache by slice keys, and store them there (experimental)", &Switch(|it| &mut it.farm.slice_results)).default("off").sensitive(),
    Opt::new(Farm, "remote_upload_ahead", "", "cc: upload the modules of -flto=thin compiles in the background", &Switch(|it| &mut it.upload_ahead)).default("off").sensitive(),
    Opt::new(Farm, "remote_cache_compression", "", "compress uploads and downloads, if the farm can", &Switch(|it| &mut it.farm.client.compression)).default("on"),
    Opt::new(Farm, "remote_timeout", "TIME", "timeout of a call", &Scalar(|it| &mut it.farm.client.timeout, value::positive_duration)).default("60s").lowered(value::time_taken),
    Opt::new(Farm, "remote_retries", "N", "attempts after a call that failed for a passing reason", &Scalar(|it| &mut it.farm.client.retries, value::number)).default("5").lowered(value::number_taken),
    Opt::new(Farm, "remote_deadline", "TIME", "how long a link waits for the farm", &Optional(|it| &mut it.farm.client.deadline, value::positive_duration)).otherwise("no limit").lowered(value::time_taken),
    Opt::new(Farm, "remote_max_connections", "N", "most connections to one server", &Scalar(|it| &mut it.farm.client.max_connections, |input| Ok(value::count(input)?.get()))).default("100").lowered(value::number_taken),
    Opt::new(Farm, "grpc_keepalive_time", "TIME", "ping a connection that was silent so long; 0: never", &Scalar(|it| &mut it.farm.client.keepalive_time, value::duration_or_zero)).default("0").sensitive(),
    Opt::new(Farm, "digest_function", "NAME", "sha256 or blake3", &Word(|it| &mut it.farm.client.digest_function, &[
        ("sha256", Some(DigestFunction::Sha256)), ("blake3", Some(DigestFunction::Blake3)),
    ])).otherwise("what the farm offers, sha256 first"),

    Opt::new(Security, "credential_helper", "[HOST=]PROGRAM", "program that prints the headers to send; repeatable", &List(|it| &mut it.farm.client.credential_helpers, value::credential_helper)).user_only().credential(),
    Opt::new(Security, "tls_certificate", "FILE", "PEM file of authorities that may sign the farm's certificate", &Optional(|it| &mut it.farm.client.tls.certificate, value::pem_file)).otherwise("the system's").sensitive(),
    Opt::new(Security, "tls_client_certificate", "FILE", "PEM file of the client certificate", &Optional(|it| &mut it.farm.client.tls.client_certificate, value::pem_file)).sensitive().credential(),
    Opt::new(Security, "tls_client_key", "FILE", "PEM file of its private key", &Optional(|it| &mut it.farm.client.tls.client_key, value::pem_file)).sensitive().credential(),

    Opt::new(Cache, DISK_CACHE, "DIR", "cache here; `off` for none", &Scalar(|it| &mut it.link.disk_cache, value::path_or_off)).otherwise("~/.cache/relto").empty_is_a_value().common().sensitive().written_dir(),
    Opt::new(Cache, "disk_cache_max_size", "SIZE", "500M, 20G; 0 for no limit", &Scalar(|it| &mut it.link.disk_cache_max_size, value::size_or_zero)).default("10G").sensitive(),
    Opt::new(Cache, "slice_keys", "", "also find results by the part of each import that a job can see", &OptionalSwitch(|it| &mut it.link.slice_keys)).otherwise("on with clang 21, 22 and 23").lowered(value::is_on_everywhere),
    Opt::new(Cache, "verify", "PERCENT", "compile so many of the cache hits again here, and compare", &Scalar(|it| &mut it.link.verify.percent, value::percent)).default("0").sensitive(),
    Opt::new(Cache, "verify_fail", "", "a cached result that is wrong fails the link", &Switch(|it| &mut it.link.verify.fail)).default("off").sensitive(),
    Opt::new(Cache, "base_dir", "DIR", "cc: sources and include paths below it are named relative to the current directory, so that modules of other checkouts are equal", &Optional(|it| &mut it.base_dir, value::path)),
    Opt::new(Cache, "cache_salt", "TEXT", "results are shared only by links with the same salt", &Scalar(|it| &mut it.link.salt, value::text)),

    Opt::new(Output, "quiet", "", "no progress bar, no summary", &Switch(|it| &mut it.style.quiet)).default("off").common(),
    Opt::new(Output, "profile", "FILE", "write a trace for ui.perfetto.dev", &Optional(|it| &mut it.style.profile, value::path)).sensitive().written_file(),
    Opt::new(Output, "dwo_dir", "DIR", "split DWARF: write the debug information of linkers' jobs into `.dwo` files here", &Optional(|it| &mut it.link.dwo_dir, value::dwo_dir)).otherwise("it stays in the objects").sensitive().written_dir(),
    Opt::new(Output, "execution_log_json_file", "FILE", "write one line of JSON for each job", &Optional(|it| &mut it.style.execution_log, value::path)).sensitive().written_file(),
    Opt::new(Output, "execution_log_compact_file", "FILE", "write what each job ran, read and wrote, in Bazel's compact form", &Optional(|it| &mut it.style.compact_log, value::path)).sensitive().written_file(),
    Opt::new(Output, "timings", "FILE", "write an HTML page of the link: what ran where, when and why", &Optional(|it| &mut it.timings, value::path)).common().sensitive().written_file(),
    CONFIG_ENTRY,
    BAZELRC_ENTRY,
];
