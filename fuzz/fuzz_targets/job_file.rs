//! Arbitrary bytes are a job file or an error; a job file names a compiler, and each of its jobs a
//! module, an index and an object.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use relto::internals::job::JobFile;

fuzz_target!(|bytes: &[u8]| {
    match JobFile::parse(Path::new("jobs.json"), bytes) {
        Ok(file) => {
            assert!(!file.compiler().is_empty());
            for job in &file.jobs {
                assert!(!job.module().is_empty() && !job.index().is_empty());
                assert!(!job.object().is_empty() && job.imports().len() < bytes.len());
                let words = file.command_line(job).count();
                assert!(words <= bytes.len());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
