//! The GitHub action and the snippets for GitLab and Jenkins, run in a shell as those systems run
//! them, with a program in the place of `autotune` that writes down what it was given.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Values that a script must never take apart or run. Where one does, it leaves a file in the
/// folder of the test and does nothing else: a broken script must fail a test, not the machine.
const HOSTILE: [&str; 7] = [
    "; touch pwned #",
    "$(touch pwned)",
    "`touch pwned`",
    "it's \"quoted\" \\ and $HOME",
    "two\nlines\n",
    "--help",
    "* ? [a-z] ${{ secrets.TOKEN }}",
];

/// Writes its arguments, each ended by NUL, and what the real program writes for GitHub.
const STAND_IN: &str = r#"#!/bin/sh
: >arguments
for argument in "$@"; do
    printf '%s\0' "$argument" >>arguments
    case $argument in --json=*) echo '{}' >"${argument#--json=}" ;; esac
done
if [ -n "${GITHUB_OUTPUT:-}" ]; then echo verdict=fail >>"$GITHUB_OUTPUT"; fi
echo 'FAIL: the verdict'
exit "${STAND_IN_CODE:-0}"
"#;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A folder in which scripts run, with stand-ins before every other program.
struct Workplace {
    folder: tempfile::TempDir,
}

impl Workplace {
    fn new() -> Self {
        let workplace = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(workplace.path("programs")).unwrap();
        workplace.program("autotune", STAND_IN);
        workplace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path("programs").join(name);
        // Copied by another process: a program that one thread still holds open for writing while
        // another starts a child cannot be run (ETXTBSY).
        fs::write(self.path("source"), script).unwrap();
        let copied = Command::new("cp").arg(self.path("source")).arg(&path).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script with these words before its file, and this environment.
    fn run(&self, shell: &[&str], script: &str, variables: &BTreeMap<String, String>) -> Output {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.path("programs")).chain(std::env::split_paths(&path));
        fs::write(self.path("script"), script).unwrap();
        Command::new(shell[0])
            .args(&shell[1..])
            .arg(self.path("script"))
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env_remove("GITHUB_OUTPUT")
            .env_remove("GITHUB_STEP_SUMMARY")
            .env("PATH", std::env::join_paths(folders).unwrap())
            .envs(variables)
            .output()
            .unwrap()
    }

    /// What the stand-in was given; `None` where it was not started.
    fn arguments(&self) -> Option<Vec<String>> {
        let written = fs::read_to_string(self.path("arguments")).ok()?;
        Some(written.split_terminator('\0').map(str::to_owned).collect())
    }

    fn assert_untouched(&self) {
        assert!(!self.path("pwned").exists(), "a value was run");
    }
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Every `run:` of steps, with the name of its step.
fn scripts(steps: &Value) -> Vec<&str> {
    steps.as_array().unwrap().iter().filter_map(|step| step["run"].as_str()).collect()
}

/// Runs the action as GitHub does: inputs or their defaults through the environment of the step.
fn run_action(workplace: &Workplace, inputs: &[(&str, &str)], code: &str) -> Output {
    let action = yaml("action.yml");
    let given: BTreeMap<&str, &str> = inputs.iter().copied().collect();
    let step = &action["runs"]["steps"][0];
    let mut environment = variables(&[
        ("GITHUB_ACTION_PATH", env!("CARGO_MANIFEST_DIR")),
        ("GITHUB_OUTPUT", workplace.path("output").to_str().unwrap()),
        ("GITHUB_STEP_SUMMARY", workplace.path("summary").to_str().unwrap()),
        ("STAND_IN_CODE", code),
    ]);
    for (name, value) in step["env"].as_object().unwrap() {
        let input = value.as_str().unwrap().strip_prefix("${{ inputs.").unwrap();
        let input = input.strip_suffix(" }}").unwrap();
        let default = action["inputs"][input]["default"].as_str().expect("a default");
        let value = given.get(input).copied().unwrap_or(default);
        environment.insert(name.clone(), value.to_owned());
    }
    let bash = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"];
    workplace.run(&bash, step["run"].as_str().unwrap(), &environment)
}

#[test]
fn every_input_reaches_the_program_and_the_rest_is_left_to_it() {
    let workplace = Workplace::new();
    let inputs = [
        ("mode", "ab"),
        ("base", "old"),
        ("head", "new"),
        ("model", "m.gguf"),
        ("delta", "tg=2%,pp=3%"),
        ("budget", "10m"),
        ("on-inconclusive", "retry"),
        ("args", "--seed=7\n\n--cells=* with spaces\n"),
    ];
    let output = run_action(&workplace, &inputs, "0");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = format!("--summary={}", workplace.path("summary").display());
    let expected = [
        "gate",
        "ab",
        "--base=old",
        "--head=new",
        "--model=m.gguf",
        "--delta=tg=2%,pp=3%",
        "--budget=10m",
        "--on-inconclusive=retry",
        "--seed=7",
        "--cells=* with spaces",
        "--json=autotune-gate/report.json",
        "--junit=autotune-gate/junit.xml",
        &summary,
        "--comment=autotune-gate/comment.md",
        "--openmetrics=autotune-gate/metrics.txt",
        "--badge=autotune-gate/badge.json",
        "--annotations=auto",
    ];
    assert_eq!(workplace.arguments().unwrap(), expected);
    let workplace = Workplace::new();
    run_action(&workplace, &[], "0");
    assert_eq!(workplace.arguments().unwrap()[..2], ["gate", "--json=autotune-gate/report.json"]);
}

#[test]
fn hostile_inputs_arrive_as_single_arguments() {
    for hostile in HOSTILE {
        for input in ["base", "head", "model", "delta", "budget", "on-inconclusive"] {
            let workplace = Workplace::new();
            let output = run_action(&workplace, &[(input, hostile)], "0");
            assert_eq!(output.status.code(), Some(0), "{input}: {hostile}");
            let arguments = workplace.arguments().unwrap();
            assert_eq!(arguments[1], format!("--{input}={hostile}"));
            assert_eq!(arguments.len(), 9, "{arguments:?}");
            workplace.assert_untouched();
        }
        let workplace = Workplace::new();
        run_action(&workplace, &[("args", hostile)], "0");
        let lines: Vec<&str> = hostile.lines().collect();
        assert_eq!(workplace.arguments().unwrap()[1..=lines.len()], lines);
        workplace.assert_untouched();
    }
}

#[test]
fn the_exit_code_reaches_the_caller_and_a_warning_only_softens_verdicts() {
    for code in 0..=5 {
        let workplace = Workplace::new();
        let ended = run_action(&workplace, &[], &code.to_string()).status.code();
        assert_eq!(ended, Some(code));
        let output = run_action(&workplace, &[("warn-only", "true")], &code.to_string());
        let softened = matches!(code, 1 | 3);
        assert_eq!(output.status.code(), Some(if softened { 0 } else { code }), "{code}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.starts_with("::warning title=autotune gate::"), softened, "{said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "FAIL: the verdict\n");
    }
    let workplace = Workplace::new();
    let gone = [("program", "no-such-autotune"), ("warn-only", "true")];
    assert_eq!(run_action(&workplace, &gone, "0").status.code(), Some(127));
}

#[test]
fn what_is_no_mode_or_no_choice_is_refused_before_anything_runs() {
    for input in [("mode", "--help"), ("mode", "ab; true"), ("warn-only", "yes")] {
        let workplace = Workplace::new();
        let output = run_action(&workplace, &[input], "0");
        assert_eq!(output.status.code(), Some(2), "{input:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "));
        assert_eq!(workplace.arguments(), None);
    }
}

#[test]
fn outputs_are_handed_on_and_an_old_report_is_not() {
    let workplace = Workplace::new();
    run_action(&workplace, &[], "1");
    let output = fs::read_to_string(workplace.path("output")).unwrap();
    assert_eq!(output, "verdict=fail\nreport=autotune-gate/report.json\n");
    // A second run on the same runner, which ends before it writes a report.
    fs::remove_file(workplace.path("output")).unwrap();
    workplace.program("autotune", "#!/bin/sh\nexit 4\n");
    assert_eq!(run_action(&workplace, &[], "0").status.code(), Some(4));
    assert!(!workplace.path("output").exists());
    assert!(!workplace.path("autotune-gate/report.json").exists());
}

#[test]
fn no_expression_is_part_of_a_script() {
    let action = yaml("action.yml");
    let workflow = yaml("templates/ci/github-workflow.yml");
    let jobs = workflow["jobs"].as_object().unwrap().values();
    let steps = jobs.map(|job| &job["steps"]).chain([&action["runs"]["steps"]]);
    let scripts: Vec<&str> = steps.flat_map(scripts).collect();
    assert_eq!(scripts.len(), 3);
    assert!(scripts.iter().all(|script| !script.contains("${{")), "{scripts:?}");
    for input in workflow["jobs"]["gate"]["steps"][3]["with"].as_object().unwrap().keys() {
        assert!(action["inputs"].get(input).is_some(), "the action has no input `{input}`");
    }
}

/// Runs a snippet with hostile values where it has variables, and looks at what arrives.
fn check_snippet(shell: &[&str], script: &str, variables_of: &[String]) {
    for (hostile, code) in HOSTILE.into_iter().zip([0, 1, 2, 3, 4, 5, 0]) {
        let workplace = Workplace::new();
        let mut environment = variables(&[("STAND_IN_CODE", &code.to_string())]);
        environment.extend(variables_of.iter().map(|name| (name.clone(), hostile.to_owned())));
        let output = workplace.run(shell, script, &environment);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let arguments = workplace.arguments().unwrap();
        assert_eq!(arguments[..2], ["gate", "ab"]);
        let flags = variables_of.iter().map(|name| {
            let flag = name.strip_prefix("AUTOTUNE_GATE_").unwrap().to_lowercase();
            format!("--{flag}={hostile}")
        });
        assert_eq!(arguments[2..2 + variables_of.len()], flags.collect::<Vec<_>>());
        assert!(arguments[2 + variables_of.len()..].iter().all(|it| it.starts_with("--")));
        assert!(workplace.path("autotune-gate/report.json").exists());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "FAIL: the verdict\n");
        workplace.assert_untouched();
    }
}

#[test]
fn the_job_for_gitlab_runs_and_its_reports_are_those_it_writes() {
    let job = &yaml("templates/ci/gitlab-ci.yml")["autotune-gate"];
    let lines: Vec<&str> =
        job["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let script = lines.join("\n");
    // In the order of the script: a map has lost it.
    let sides = ["BASE", "HEAD", "MODEL", "DELTA", "BUDGET"];
    let names = sides.map(|name| format!("AUTOTUNE_GATE_{name}"));
    assert!(names.iter().all(|name| job["variables"][name].is_string()));
    check_snippet(&["sh", "-e"], &script, &names);
    for report in ["junit", "metrics"] {
        let path = job["artifacts"]["reports"][report].as_str().unwrap();
        assert!(script.contains(&format!("={path}")), "{path}");
    }
    assert_eq!(job["allow_failure"]["exit_codes"], serde_json::json!([3]));
}

#[test]
fn the_jenkinsfile_runs_and_leaves_the_exit_code_to_jenkins() {
    let pipeline = text("templates/ci/Jenkinsfile");
    let parts: Vec<&str> = pipeline.split("'''").collect();
    let [before, script, after] = parts[..] else { panic!("not one script in three quotes") };
    assert!(before.ends_with("sh(returnStatus: true, script: "));
    // Groovy reads backslashes in such a string, the shell would not see them.
    assert!(!script.contains('\\') && !after.contains("sh "));
    let names: Vec<String> = before
        .lines()
        .filter_map(|line| Some(line.trim().split_once(" = ")?.0.to_owned()))
        .filter(|name| name.starts_with("AUTOTUNE_GATE_"))
        .collect();
    assert_eq!(names.len(), 5);
    check_snippet(&["sh", "-xe"], script, &names);
    assert!(
        script.contains("=autotune-gate/junit.xml") && after.contains("'autotune-gate/junit.xml'")
    );
}

#[test]
fn a_comment_is_written_once_and_then_replaced() {
    let workflow = yaml("templates/ci/github-workflow.yml");
    let script = scripts(&workflow["jobs"]["comment"]["steps"])[0];
    let bash = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"];
    let environment = variables(&[("REPOSITORY", "owner/name"), ("NUMBER", "12")]);
    let workplace = Workplace::new();
    // Every call is a line; the question for earlier comments is answered from a file.
    workplace.program(
        "gh",
        "#!/bin/sh\necho \"$*\" >>calls\ncase $* in *--paginate*) cat found ;; esac\n",
    );
    assert_eq!(workplace.run(&bash, script, &environment).status.code(), Some(0));
    assert!(!workplace.path("calls").exists(), "there is nothing to comment with");
    fs::create_dir(workplace.path("autotune-gate")).unwrap();
    fs::write(workplace.path("autotune-gate/comment.md"), "x").unwrap();
    for (found, called) in [
        ("", "pr comment 12 --repo owner/name --body-file autotune-gate/comment.md"),
        (
            "345\n678\n",
            "api --method PATCH repos/owner/name/issues/comments/345 \
             -F body=@autotune-gate/comment.md",
        ),
    ] {
        fs::write(workplace.path("found"), found).unwrap();
        let output = workplace.run(&bash, script, &environment);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let calls = fs::read_to_string(workplace.path("calls")).unwrap();
        assert_eq!(calls.lines().last(), Some(called));
    }
    assert!(script.contains(autotune::render::gate::MARKER));
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let checked = Command::new("shellcheck").arg(file("templates/ci/gate.sh")).output();
    match checked {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        Err(_) => eprintln!("skipped: shellcheck is not installed"),
    }
}
