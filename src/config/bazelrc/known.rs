//! The flags of Bazel 7, 8 and 9 about remote execution, remote caches, TLS, credentials and build
//! events: what a `.bazelrc` may hold, and what is misspelt in one.

use crate::config::options::{Opt, nearest};

/// One flag of Bazel.
#[derive(Debug)]
pub(super) struct KnownFlag {
    /// The name in the newest release that has it.
    pub(super) name: &'static str,
    /// Names that it has, or had, besides.
    pub(super) others: &'static [&'static str],
    /// Whether relto's option of the same name means something else.
    pub(super) is_bazels_own: bool,
}

const fn flag(name: &'static str) -> KnownFlag {
    KnownFlag {
        name,
        others: &[],
        is_bazels_own: false,
    }
}

impl KnownFlag {
    const fn or(mut self, others: &'static [&'static str]) -> Self {
        self.others = others;
        self
    }

    const fn bazels_own(mut self) -> Self {
        self.is_bazels_own = true;
        self
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.others.iter().copied())
    }
}

/// The flag that is called `name`, without `--` and without the `no` of a negation.
pub(super) fn find(name: &str) -> Option<&'static KnownFlag> {
    FLAGS.iter().find(|flag| flag.names().any(|it| it == name))
}

/// Whether `name`, spelled with underscores or hyphens, or its negation, is a flag of Bazel that
/// means nothing to relto.
pub(crate) fn is_unused_bazel_flag(name: &str) -> bool {
    let name = name.replace('-', "_");
    let positive = name.strip_prefix("no_").or(name.strip_prefix("no"));
    let flag = find(&name).or_else(|| positive.and_then(find));
    flag.is_some_and(|flag| Opt::find(flag.name).is_none())
}

/// The name that was probably meant.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    nearest(name, FLAGS.iter().flat_map(KnownFlag::names))
}

#[rustfmt::skip] // a table reads best as a table
pub(super) static FLAGS: &[KnownFlag] = &[
    // Servers, and what they are told.
    flag("remote_executor"),
    flag("remote_cache").or(&["remote_http_cache"]),
    flag("remote_proxy").or(&["remote_cache_proxy"]),
    flag("remote_instance_name"),
    flag("remote_header"),
    flag("remote_cache_header"),
    flag("remote_exec_header"),
    flag("remote_default_exec_properties"),
    flag("remote_default_platform_properties").or(&["host_platform_remote_properties_override"]),
    flag("remote_execution_priority"),
    flag("remote_result_cache_priority"),
    flag("remote_bytestream_uri_prefix"),

    // Calls.
    flag("remote_timeout"),
    flag("remote_retries").or(&["experimental_remote_retry_max_attempts"]),
    flag("remote_retry_max_delay"),
    flag("remote_max_connections"),
    flag("remote_max_concurrency_per_connection"),
    flag("remote_cache_compression").or(&["experimental_remote_cache_compression"]),
    flag("experimental_remote_cache_compression_threshold"),
    flag("experimental_remote_cache_chunking"),
    flag("experimental_remote_execution_keepalive"),
    flag("experimental_circuit_breaker_strategy"),
    flag("experimental_remote_failure_rate_threshold"),
    flag("experimental_remote_failure_window_interval"),
    flag("remote_grpc_log").or(&["experimental_remote_grpc_log"]),
    flag("remote_print_execution_messages"),

    // What is run, found and stored where.
    flag("remote_accept_cached"),
    flag("experimental_remote_require_cached"),
    flag("remote_local_fallback"),
    flag("remote_local_fallback_strategy"),
    flag("incompatible_remote_local_fallback_for_remote_cache"),
    flag("remote_upload_local_results"),
    flag("remote_cache_async").or(&["experimental_remote_cache_async"]),
    flag("remote_verify_downloads"),
    flag("incompatible_remote_results_ignore_disk"),
    flag("experimental_remote_cache_ttl"),
    flag("experimental_remote_cache_lease_extension"),
    flag("experimental_remote_cache_eviction_retries"),
    flag("incompatible_remote_use_new_exit_code_for_lost_inputs"),
    flag("experimental_remote_capture_corrupted_outputs"),
    flag("guard_against_concurrent_changes").or(&["experimental_guard_against_concurrent_changes"]),
    flag("disk_cache").bazels_own(),
    flag("experimental_disk_cache_gc_idle_delay"),
    flag("experimental_disk_cache_gc_max_age"),
    flag("experimental_disk_cache_gc_max_size"),

    // Bazel's own trees of inputs and outputs.
    flag("remote_download_outputs").or(&["experimental_remote_download_outputs"]),
    flag("remote_download_minimal").or(&["experimental_remote_download_minimal"]),
    flag("remote_download_toplevel").or(&["experimental_remote_download_toplevel"]),
    flag("remote_download_all"),
    flag("remote_download_regex").or(&["experimental_remote_download_regex"]),
    flag("remote_download_symlink_template"),
    flag("experimental_remote_output_service"),
    flag("experimental_remote_output_service_output_path_prefix"),
    flag("experimental_remote_discard_merkle_trees"),
    flag("experimental_remote_merkle_tree_cache"),
    flag("experimental_remote_merkle_tree_cache_size"),
    flag("experimental_remote_mark_tool_inputs"),
    flag("experimental_remote_scrubbing_config"),
    flag("experimental_throttle_remote_action_building"),
    flag("incompatible_remote_symlinks"),
    flag("incompatible_remote_dangling_symlinks"),
    flag("incompatible_remote_disallow_symlink_in_tree_artifact"),
    flag("incompatible_remote_output_paths_relative_to_input_root"),
    flag("experimental_remote_include_extraction_size_threshold"),

    // Its downloads and its analysis.
    flag("remote_downloader").or(&["experimental_remote_downloader"]),
    flag("remote_downloader_header"),
    flag("remote_downloader_local_fallback").or(&["experimental_remote_downloader_local_fallback"]),
    flag("remote_downloader_propagate_credentials").or(&["experimental_remote_downloader_propagate_credentials"]),
    flag("incompatible_remote_downloader_send_all_headers"),
    flag("experimental_remote_repo_contents_cache"),
    flag("experimental_remote_analysis_cache"),
    flag("experimental_remote_analysis_cache_mode"),
    flag("experimental_remote_analysis_cache_max_batch_size"),
    flag("experimental_remote_analysis_cache_concurrency"),
    flag("experimental_remote_analysis_cache_deadline"),
    flag("experimental_remote_analysis_cache_storage"),
    flag("experimental_remote_analysis_unreachable_cache_retry_interval"),
    flag("experimental_remote_analysis_write_proxy"),

    // TLS and credentials.
    flag("tls_certificate"),
    flag("tls_client_certificate"),
    flag("tls_client_key"),
    flag("tls_authority_override"),
    flag("grpc_keepalive_time"),
    flag("grpc_keepalive_timeout"),
    flag("credential_helper").or(&["experimental_credential_helper"]),
    flag("credential_helper_timeout").or(&["experimental_credential_helper_timeout"]),
    flag("credential_helper_cache_duration").or(&["experimental_credential_helper_cache_duration"]),
    flag("google_default_credentials").or(&["auth_enabled"]),
    flag("google_credentials").or(&["auth_credentials"]),
    flag("google_auth_scopes").or(&["auth_scope"]),

    // Build events.
    flag("bes_backend"),
    flag("bes_header"),
    flag("bes_instance_name").or(&["project_id"]),
    flag("bes_results_url"),
    flag("bes_timeout"),
    flag("bes_upload_mode"),
    flag("bes_lifecycle_events"),
    flag("bes_check_preceding_lifecycle_events"),
    flag("bes_keywords"),
    flag("bes_system_keywords"),
    flag("bes_outerr_buffer_size"),
    flag("bes_outerr_chunk_size"),
    flag("bes_oom_finish_upload_timeout"),
    flag("bes_proxy"),
    flag("bep_maximum_open_remote_upload_files"),
    flag("build_event_upload_max_threads"),
    flag("remote_build_event_upload").or(&["experimental_remote_build_event_upload"]),
    flag("incompatible_remote_build_event_upload_respect_no_cache"),
];
