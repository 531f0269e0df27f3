use super::*;
use crate::pb::reapi::{ActionCacheUpdateCapabilities, CacheCapabilities, ExecutionCapabilities};

const SHA: i32 = Function::Sha256 as i32;
const BLAKE: i32 = Function::Blake3 as i32;
const ZSTD: i32 = Compressor::Zstd as i32;

fn version(major: i32, minor: i32) -> SemVer {
    SemVer {
        major,
        minor,
        ..SemVer::default()
    }
}

fn server(functions: &[i32], low: Option<SemVer>, high: Option<SemVer>) -> ServerCapabilities {
    ServerCapabilities {
        cache_capabilities: Some(CacheCapabilities {
            digest_functions: functions.to_vec(),
            ..CacheCapabilities::default()
        }),
        execution_capabilities: Some(ExecutionCapabilities {
            exec_enabled: true,
            digest_function: SHA,
            ..ExecutionCapabilities::default()
        }),
        low_api_version: low,
        high_api_version: high,
        ..ServerCapabilities::default()
    }
}

fn merged(server: &ServerCapabilities) -> Result<Capabilities, CapabilityError> {
    merge(server, Some(server), &ClientOptions::default())
}

fn cache_only(stored: CacheCapabilities, options: &ClientOptions) -> Capabilities {
    let server = ServerCapabilities {
        cache_capabilities: Some(stored),
        ..ServerCapabilities::default()
    };
    merge(&server, None, options).expect("a cache")
}

#[test]
fn every_version_from_2_0_on_is_spoken() {
    for (low, high, style) in [
        (Some(version(2, 0)), Some(version(2, 0)), OutputStyle::Files),
        (
            Some(version(2, 1)),
            Some(version(2, 12)),
            OutputStyle::Paths,
        ),
        (
            Some(version(2, 3)),
            Some(version(2, 11)),
            OutputStyle::Paths,
        ),
        (
            Some(version(2, 0)),
            Some(version(99, 9)),
            OutputStyle::Paths,
        ),
        (None, None, OutputStyle::Files),
    ] {
        let found = merged(&server(&[SHA], low, high)).expect("spoken");
        assert_eq!(found.output_style, style, "{}", found.high_version);
    }
    for (low, high) in [
        (Some(version(3, 0)), Some(version(3, 1))),
        (Some(version(1, 0)), Some(version(1, 9))),
    ] {
        let error = merged(&server(&[SHA], low, high)).expect_err("not spoken");
        assert!(matches!(error, CapabilityError::Version { .. }), "{error}");
    }
}

#[test]
fn sha256_is_preferred_blake3_taken_and_a_wish_obeyed() {
    let high = Some(version(2, 5));
    let function = |functions: &[i32], executed: &[i32], wish| {
        let mut server = server(functions, None, high.clone());
        let execution = server.execution_capabilities.as_mut().expect("set above");
        execution.digest_functions = executed.to_vec();
        let options = ClientOptions {
            digest_function: wish,
            ..ClientOptions::default()
        };
        merge(&server, Some(&server), &options).map(|found| found.digest_function)
    };
    let (sha, blake) = (DigestFunction::Sha256, DigestFunction::Blake3);
    assert_eq!(
        function(&[BLAKE, SHA], &[SHA, BLAKE], None).expect("common"),
        sha
    );
    assert_eq!(
        function(&[SHA, BLAKE], &[BLAKE], None).expect("common"),
        blake
    );
    assert_eq!(
        function(&[SHA, BLAKE], &[SHA, BLAKE], Some(blake)).expect("wish"),
        blake
    );
    assert_eq!(function(&[], &[], None).expect("silent server"), sha);
    // Only the old single field is filled.
    assert!(function(&[SHA, BLAKE], &[], Some(blake)).is_err());
    let error = function(&[2, 3], &[2], None).expect_err("SHA1 and MD5 only");
    assert!(error.to_string().contains("SHA1"), "{error}");
}

#[test]
fn limits_are_never_larger_than_a_message() {
    let limit = |advertised| {
        let stored = CacheCapabilities {
            max_batch_total_size_bytes: advertised,
            ..CacheCapabilities::default()
        };
        cache_only(stored, &ClientOptions::default()).batch_limit
    };
    let full = DEFAULT_MESSAGE_LIMIT - MESSAGE_SLACK;
    assert_eq!(limit(0), full);
    assert_eq!(limit(-5), full);
    assert_eq!(limit(4 << 20), full);
    assert_eq!(limit(i64::MAX), full);
    assert_eq!(limit(65_536), 65_536);
    assert_eq!(limit(1), SMALLEST_BATCH);
}

#[test]
fn both_compressor_lists_are_read_apart_and_can_be_switched_off() {
    let stored = CacheCapabilities {
        supported_compressors: vec![0, ZSTD],
        max_cas_blob_size_bytes: 1000,
        ..CacheCapabilities::default()
    };
    let found = cache_only(stored.clone(), &ClientOptions::default());
    assert!(found.zstd_streams && !found.zstd_batches);
    assert_eq!(found.largest_blob, Some(1000));
    let options = ClientOptions {
        compression: false,
        ..ClientOptions::default()
    };
    assert!(!cache_only(stored, &options).zstd_streams);
}

#[test]
fn two_addresses_give_one_answer() {
    let cache = ServerCapabilities {
        cache_capabilities: Some(CacheCapabilities {
            digest_functions: vec![SHA, BLAKE],
            action_cache_update_capabilities: Some(ActionCacheUpdateCapabilities {
                update_enabled: true,
            }),
            ..CacheCapabilities::default()
        }),
        ..ServerCapabilities::default()
    };
    let mut executor = server(&[], None, Some(version(2, 3)));
    executor.cache_capabilities = None;
    let found = merge(&cache, Some(&executor), &ClientOptions::default()).expect("merged");
    assert!(found.can_execute && found.can_update_action_cache);
    assert_eq!(found.high_version, "2.3");
    let error = merge(&cache, Some(&cache), &ClientOptions::default()).expect_err("no executor");
    assert!(matches!(error, CapabilityError::NoExecution(_)), "{error}");
    let alone = merge(&cache, None, &ClientOptions::default()).expect("a cache");
    assert!(!alone.can_execute);
}

#[test]
fn unsetting_digest_function_is_advised_only_where_it_helps() {
    let server = |function: Function| ServerCapabilities {
        execution_capabilities: None,
        ..server(&[function as i32], None, None)
    };
    for (theirs, wish, hint) in [
        (Function::Sha1, None, "switch SHA256 or BLAKE3 on"),
        (
            Function::Sha1,
            Some(DigestFunction::Blake3),
            "switch SHA256 or BLAKE3 on",
        ),
        (
            Function::Sha256,
            Some(DigestFunction::Blake3),
            "leave `digest_function` unset",
        ),
    ] {
        let options = ClientOptions {
            digest_function: wish,
            ..ClientOptions::default()
        };
        let error = merge(&server(theirs), None, &options).expect_err("no function in common");
        assert!(
            error.hints()[0].starts_with(hint),
            "{error}: {:?}",
            error.hints()
        );
    }
}
