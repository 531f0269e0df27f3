use bytes::Bytes;

use super::canonical::NamedOutput;
use super::*;
use crate::action::kind::{OutputKind, Processor};
use crate::thinlto::Form;

fn template() -> ActionTemplate {
    ActionTemplate {
        function: DigestFunction::Sha256,
        old_outputs: false,
        platform: Vec::new(),
        salt: String::new(),
        environment: Vec::new(),
    }
}

#[test]
fn digest_under_another_template_is_the_digest_of_the_action_built_with_it() {
    let function = DigestFunction::Sha256;
    let toolchain = ToolchainTree::new(
        function,
        Vec::new(),
        vec!["clang".to_owned()],
        vec!["--config=x".to_owned()],
    );
    let job = CanonicalJob {
        arguments: vec!["-O2".to_owned()],
        shard: Bytes::from_static(b"shard"),
        form: Form::Canonical,
        files: Vec::new(),
        outputs: vec![NamedOutput {
            tree_path: "relto/out.o".to_owned(),
            name: "a.o".to_owned(),
            host: "a.o".into(),
        }],
        kind: OutputKind::Other,
        processor: Processor::Other,
    };
    let action = Action::new(&template(), &toolchain, &job, &[]);
    let pair = |name: &str| (name.to_owned(), "value".to_owned());
    let others = [
        template(),
        ActionTemplate {
            old_outputs: true,
            ..template()
        },
        ActionTemplate {
            platform: vec![pair("OSFamily"), pair("Pool")],
            ..template()
        },
        ActionTemplate {
            salt: "salt".to_owned(),
            environment: vec![pair("SOURCE_DATE_EPOCH")],
            ..template()
        },
    ];
    let mut keys = Vec::new();
    for template in others {
        let made = Action::new(&template, &toolchain, &job, &[]).digest();
        assert_eq!(action.digest_under(&template, &job), made, "{template:?}");
        keys.push(made);
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4, "every field of the template matters");
}
