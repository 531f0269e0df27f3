//! Arbitrary bytes are a bitcode module or an error, and facts survive their compact form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::thinlto::{ModuleFacts, module, names_processors};

fuzz_target!(|bytes: &[u8]| {
    let _ = (ModuleFacts::decode(bytes), names_processors(bytes));
    if let Ok(facts) = module::facts(bytes) {
        assert_eq!(ModuleFacts::decode(&facts.encode()), Some(facts));
    }
});
