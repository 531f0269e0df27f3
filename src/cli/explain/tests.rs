use super::differences::differences;
use super::text::{parse, whole};
use crate::digest::DigestFunction;
use crate::explain::{ActionKey, ExplainedLink, Explanation, Ingredient, compare};

fn ingredient(name: &str, value: &str, known_as: Option<&str>) -> Ingredient {
    Ingredient {
        name: name.to_owned(),
        value: value.to_owned(),
        known_as: known_as.map(str::to_owned),
        sourceless: None,
    }
}

/// `inputs` are names and digests.
fn job(module: &str, command: &str, inputs: &[(&str, &str)]) -> Explanation {
    let inputs = inputs
        .iter()
        .enumerate()
        .map(|(rank, (name, value))| ingredient(&format!("input m/{rank}"), value, Some(name)));
    let inputs: Vec<_> = inputs.collect();
    let text = format!("{command}{inputs:?}");
    Explanation {
        module: module.to_owned(),
        key: Ok(ActionKey {
            action: DigestFunction::Sha256.digest(text.as_bytes()).to_string(),
            command: command.split(' ').map(str::to_owned).collect(),
            ingredients: inputs,
            slice: None,
        }),
        origin: None,
    }
}

fn link(jobs: impl Into<Vec<Explanation>>) -> ExplainedLink {
    let common = vec![ingredient("toolchain tc/clang", "c", Some("/bin/clang"))];
    ExplainedLink::new(common, jobs.into())
}

fn told(earlier: &ExplainedLink, now: &ExplainedLink) -> String {
    differences(&compare(earlier, now))
}

#[test]
fn a_written_explanation_is_read_back() {
    let mut jobs = vec![
        job("a b.o", "clang -O2 -DX='y z' -c", &[("x.o", "x")]),
        job("b.o", "clang", &[]),
    ];
    if let Ok(key) = &mut jobs[0].key {
        key.ingredients.push(ingredient("output o", "", None));
    }
    jobs.push(Explanation {
        module: "c.o".to_owned(),
        key: Err("it runs in place".to_owned()),
        origin: None,
    });
    let mut link = link(jobs);
    link.common.extend(
        [("salt", "of two words"), ("variable X", "a  b")]
            .map(|(name, value)| ingredient(name, value, None)),
    );
    let text = whole(&link);
    assert_eq!(parse(&text).as_ref(), Some(&link), "{text}");
    assert_eq!(text.matches("toolchain").count(), 1, "once for all jobs");
    assert_eq!(
        told(&link, &link),
        "3 of 3 jobs have the same key in both links\n"
    );
    assert_eq!(parse("something\nelse\n"), None);
}

#[test]
fn only_what_changed_a_key_is_shown() {
    let earlier = link([
        job("a.o", "clang -O2 -c", &[("x.o", "x"), ("z.o", "z")]),
        job("b.o", "clang -O2 -c", &[("x.o", "x")]),
        job("d.o", "clang -c -O2", &[("x.o", "x")]),
    ]);
    let now = link([
        job(
            "a.o",
            "clang -O3 -c",
            &[("w.o", "w"), ("x.o", "x"), ("z.o", "changed")],
        ),
        job("b.o", "clang -O2 -c", &[("x.o", "x")]),
        job("c.o", "clang -O2 -c", &[]),
        job("d.o", "clang -O2 -c", &[("x.o", "x")]),
    ]);
    insta::assert_snapshot!(told(&earlier, &now), @r"
    a.o
      - argument -O2
      + argument -O3
      + input w.o w
      - input z.o z
      + input z.o changed
    c.o
      the earlier link has no such module
    d.o
      the same arguments in another order
    1 of 4 jobs have the same key in both links
    ");
}

#[test]
fn what_all_jobs_share_is_told_once_and_equal_changes_together() {
    let flags = |flags: &str, compiler: &str| {
        let modules = ["a.o", "b.o", "c.o", "d.o", "e.o"];
        let mut link = link(modules.map(|module| job(module, flags, &[])));
        compiler.clone_into(&mut link.common[0].value);
        link
    };
    let (earlier, now) = (flags("clang -O2", "c"), flags("clang -O3", "d"));
    insta::assert_snapshot!(told(&earlier, &now), @r"
    all jobs
      - toolchain tc/clang c  (/bin/clang)
      + toolchain tc/clang d  (/bin/clang)
    a.o, b.o, c.o and 2 more
      - argument -O2
      + argument -O3
    0 of 5 jobs have the same key in both links
    ");
}

#[test]
fn a_module_that_differs_in_the_name_of_its_source_only_is_told_so() {
    let of = |value: &str, sourceless: u8| {
        let mut job = job(
            "a.o",
            "clang",
            &[("a.o", value), ("libx.a(b.o at 96).2.44B.o", "b")],
        );
        let key = job.key.as_mut().expect("a key");
        key.ingredients[0].sourceless = Some([sourceless; 16]);
        link([job])
    };
    insta::assert_snapshot!(told(&of("x", 1), &of("y", 1)), @r"
    a.o
      input a.o: the module differs in source_filename only (the path by which the compiler was given its source)
    0 of 1 jobs have the same key in both links
    ");
    insta::assert_snapshot!(told(&of("x", 1), &of("y", 2)), @r"
    a.o
      - input a.o x
      + input a.o y
    0 of 1 jobs have the same key in both links
    ");
}
