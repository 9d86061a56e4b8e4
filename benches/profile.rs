//! What sampling functions costs: processor time per token of repetitions with samples over that of
//! their neighbours without, with its interval. The program measures it in every profile; here with
//! many repetitions.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let model = std::env::var("AUTOTUNE_MODEL");
    let model = model.unwrap_or_else(|_| "synth:smollm2-135m:q4_k_m".to_owned());
    let output = Command::new(env!("CARGO_BIN_EXE_autotune"))
        .args(["profile", "--no-peaks", "--format", "json", "--model", &model])
        .args(["-p", "64", "-n", "64", "-r", "200", "--for", "3m"])
        .output();
    let output = output.expect("the program starts");
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return ExitCode::FAILURE;
    }
    let profile: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("a profile is JSON");
    let sampling = &profile["subject"]["sampling"];
    let (overhead, event) = (&sampling["overhead"], &sampling["event"]);
    println!(
        "{model}: {} samples by {event}, {} a second and thread asked for, {} lost",
        sampling["samples"], sampling["hz"], sampling["lost"]
    );
    println!(
        "processor time per token, sampled / not sampled: {} [{}, {}], {} pairs",
        overhead["value"], overhead["low"], overhead["high"], overhead["n"]
    );
    for caveat in profile["caveats"].as_array().into_iter().flatten() {
        println!("caveat: {caveat}");
    }
    ExitCode::SUCCESS
}
