//! libFuzzer and one of the targets of `shedder-user/src/fuzzing.rs`, which the environment names.
//!
//! Invariant: what the fuzzer finds is replayed by the tests of shedder-user through the same functions.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzzing {
    use std::env;
    use std::sync::LazyLock;

    use shedder_user::fuzzing::Target;

    libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));

    static TARGET: LazyLock<&Target> = LazyLock::new(|| {
        let name = env::var("SHEDDER_FUZZ_TARGET").unwrap_or_default();
        Target::find(&name).unwrap_or_else(|| panic!("SHEDDER_FUZZ_TARGET={name:?} is no target"))
    });
}

#[cfg(not(fuzzing))]
fn main() -> Result<(), &'static str> {
    Err("it is built and run by `cargo xtask fuzz`")
}
