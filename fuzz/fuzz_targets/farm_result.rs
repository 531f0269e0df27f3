//! Whatever a farm or a cache says about a job gives its declared outputs or an error, and an object
//! that the guard accepts is one.
//!
//! The first byte chooses the job; the rest is the `ActionResult` on the wire.

#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use relto::internals::action::canonical::{CanonicalJob, NamedOutput};
use relto::internals::action::kind::{Format, OutputKind, Processor};
use relto::internals::exec::check_result;
use relto::internals::pb::{decode, reapi::ActionResult};
use relto::internals::reapi::{declared_outputs, stderr};
use relto::internals::text::{messages, one_line};
use relto::internals::thinlto::Form;

const KINDS: [OutputKind; 12] = [
    OutputKind::Object(Format::Elf),
    OutputKind::Object(Format::Coff),
    OutputKind::Object(Format::MachO),
    OutputKind::Object(Format::Wasm),
    OutputKind::Object(Format::Xcoff),
    OutputKind::Object(Format::Goff),
    OutputKind::Object(Format::SpirV),
    OutputKind::Object(Format::DxContainer),
    OutputKind::Assembly,
    OutputKind::Bitcode,
    OutputKind::Ir,
    OutputKind::Other,
];

fn job(kind: OutputKind) -> CanonicalJob {
    let outputs = ["out.o", "out.dwo", "out.opt.yaml", "out.su"];
    CanonicalJob {
        arguments: Vec::new(),
        shard: Default::default(),
        form: Form::Canonical,
        files: Vec::new(),
        outputs: outputs
            .map(|name| NamedOutput {
                tree_path: format!("relto/{name}"),
                name: name.to_owned(),
                host: PathBuf::from(name),
            })
            .into(),
        kind,
        processor: Processor::X86_64,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, wire)) = bytes.split_first() else {
        return;
    };
    let Ok(result) = decode::<ActionResult>(wire.to_vec().into()) else {
        return;
    };
    let mut job = job(KINDS[usize::from(choice & 15) % KINDS.len()]);
    job.outputs.truncate(usize::from(choice >> 4) % 4 + 1);
    let declared: Vec<_> = job.outputs.iter().map(|it| it.tree_path.clone()).collect();
    let Ok(found) = declared_outputs(&result, &declared) else {
        return;
    };
    assert!(found.iter().all(|output| declared.contains(&output.path)));
    let contents = |path: &String| {
        let output = found.iter().find(|output| output.path == *path);
        output.and_then(|output| output.inline.clone())
    };
    let outputs: Vec<_> = declared.iter().map(contents).collect();
    let printed = stderr(&result);
    if check_result(&job, result.exit_code, &printed.inline, &outputs).is_ok() {
        assert_eq!(result.exit_code, 0);
        assert!(
            outputs[0]
                .as_ref()
                .is_some_and(|object| { !object.is_empty() || job.kind == OutputKind::Other })
        );
    }
    let shown = String::from_utf8_lossy(&printed.inline);
    let acts = |c: char| c.is_control() && !['\n', '\t', '\u{1b}'].contains(&c);
    assert!(!messages(&shown).contains(acts));
    assert!(!one_line(&shown, 100).contains(char::is_control));
});
