//! Transcripts of the program: what is typed, what is printed, which exit code. The machine in
//! them is simulated, so every number is the same everywhere.

#[test]
fn transcripts_are_true() {
    trycmd::TestCases::new()
        .env("NO_COLOR", "1")
        .env(
            "AUTOTUNE_CONFIG",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/config.toml"),
        )
        .insert_var("[VERSION]", env!("CARGO_PKG_VERSION"))
        .unwrap()
        .case("tests/transcripts/*.trycmd");
}
