//! Kubernetes: a Deployment with its Service.
//!
//! Keys are those of `apps/v1` and `v1`; `$` is doubled because arguments may hold `$(NAME)`.

use autotune_engine::api::Bytes;

use super::compose::{MODELS, arguments, around};
use super::device::{self, Cards};
use super::wrapper::{self, Wrapper};
use super::yaml::Yaml;
use super::{Subject, Target, Written};
use crate::knob::Tool;

/// A manifest.
#[derive(Debug)]
pub(super) struct Kubernetes;

/// What llama-server's prompt cache may take beside the model: its default for `--cache-ram`.
const PROMPT_CACHE_MIB: u64 = 8192;

impl Target for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn summary(&self) -> &'static str {
        "a Deployment with its Service"
    }

    fn wants_absolute_path(&self) -> bool {
        true
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let cards = device::cards(subject);
        let documents = [deployment(subject, cards.as_ref()), service(subject)];
        let body = documents.iter().map(Yaml::document).collect::<Vec<_>>().join("---\n");
        let mut notes = subject.notes(Tool::LlamaServer);
        notes.extend(around(subject, "a pod"));
        notes.extend(limits(subject, cards.as_ref()));
        notes.extend(device::notes(subject, cards.as_ref()));
        let folder = subject.folder_and_file().0;
        let usage = vec![
            "kubectl apply -f THIS-FILE".to_owned(),
            format!("the node needs the model's folder as {folder}; replace `hostPath` where not"),
        ];
        Written { body, usage, notes }
    }
}

fn deployment(subject: &Subject<'_>, cards: Option<&Cards>) -> Yaml {
    let name = label(subject.stem());
    let labels = || Yaml::map([("app.kubernetes.io/name", Yaml::text(name.clone()))]);
    let folder =
        [("path", Yaml::text(subject.folder_and_file().0)), ("type", Yaml::text("Directory"))];
    let volume = [("name", Yaml::text("models")), ("hostPath", Yaml::map(folder))];
    let pod = [
        ("containers", Yaml::List(vec![Yaml::map(container(subject, cards))])),
        ("volumes", Yaml::List(vec![Yaml::map(volume)])),
    ];
    let template = [("metadata", Yaml::map([("labels", labels())])), ("spec", Yaml::map(pod))];
    let spec = [
        ("replicas", Yaml::Number(1)),
        // Two at once would want the memory and the devices twice.
        ("strategy", Yaml::map([("type", Yaml::text("Recreate"))])),
        ("selector", Yaml::map([("matchLabels", labels())])),
        ("template", Yaml::map(template)),
    ];
    Yaml::map([
        ("apiVersion", Yaml::text("apps/v1")),
        ("kind", Yaml::text("Deployment")),
        ("metadata", Yaml::map([("name", Yaml::text(name.clone())), ("labels", labels())])),
        ("spec", Yaml::map(spec)),
    ])
}

fn container<'a>(subject: &Subject<'_>, cards: Option<&Cards>) -> Vec<(&'a str, Yaml)> {
    let setting = subject.setting();
    let wrapper = Wrapper::of(setting);
    let mount = [
        ("name", Yaml::text("models")),
        ("mountPath", Yaml::text(MODELS)),
        ("readOnly", Yaml::Bool(true)),
    ];
    let port = [("name", Yaml::text("http")), ("containerPort", Yaml::Number(8080))];
    let mut container = vec![
        ("name", Yaml::text("llama-server")),
        ("image", Yaml::text(device::image(cards))),
        ("args", Yaml::List(arguments(subject).iter().map(|word| text(word)).collect())),
    ];
    if !wrapper.environment.is_empty() {
        let pairs = wrapper
            .environment
            .iter()
            .map(|(name, value)| Yaml::map([("name", Yaml::text(*name)), ("value", text(value))]));
        container.push(("env", Yaml::List(pairs.collect())));
    }
    container.extend([
        ("ports", Yaml::List(vec![Yaml::map(port)])),
        ("resources", resources(subject, cards)),
        ("volumeMounts", Yaml::List(vec![Yaml::map(mount)])),
        // Loading takes as long as the storage wants: an hour before it counts as failed.
        ("startupProbe", probe(10, 360)),
        ("readinessProbe", probe(10, 3)),
    ]);
    let wanted = [
        ("IPC_LOCK", wrapper::locks_memory(setting)),
        ("SYS_NICE", wrapper::is_real_time(setting)),
    ];
    let added: Vec<&str> =
        wanted.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| *name).collect();
    if !added.is_empty() {
        let capabilities = Yaml::map([("add", Yaml::texts(added))]);
        container.push(("securityContext", Yaml::map([("capabilities", capabilities)])));
    }
    container
}

fn probe(period_s: i64, failures: i64) -> Yaml {
    let get = [("path", Yaml::text("/health")), ("port", Yaml::text("http"))];
    Yaml::map([
        ("httpGet", Yaml::map(get)),
        ("periodSeconds", Yaml::Number(period_s)),
        ("failureThreshold", Yaml::Number(failures)),
    ])
}

/// What the pod is given; [`limits`] says where the numbers come from.
fn resources(subject: &Subject<'_>, cards: Option<&Cards>) -> Yaml {
    let cpus = Yaml::text(cpus(subject).to_string());
    let (mut requests, mut limits) = (vec![("cpu", cpus.clone())], vec![("cpu", cpus)]);
    if let Some(peak) = subject.candidate().peak_resident_bytes {
        let mib = mib(peak);
        requests.push(("memory", Yaml::text(format!("{mib}Mi"))));
        limits.push(("memory", Yaml::text(format!("{}Mi", mib + PROMPT_CACHE_MIB))));
    }
    if let Some(cards) = cards.filter(|cards| cards.backend == "CUDA") {
        limits.push(("nvidia.com/gpu", Yaml::text(cards.count.to_string())));
    }
    Yaml::map([("requests", Yaml::map(requests)), ("limits", Yaml::map(limits))])
}

/// Threads that compute at once.
fn cpus(subject: &Subject<'_>) -> u32 {
    let threads = &subject.setting().threads;
    threads.threads.max(threads.threads_batch)
}

fn mib(bytes: Bytes) -> u64 {
    bytes.0.div_ceil(1 << 20)
}

/// Where the numbers come from, and what a pod cannot have.
fn limits(subject: &Subject<'_>, cards: Option<&Cards>) -> Vec<String> {
    let setting = subject.setting();
    let mut notes = vec![format!(
        "cpu: the larger of the two thread counts, {}; requests answered at the same time share it",
        cpus(subject)
    )];
    notes.push(match subject.candidate().peak_resident_bytes {
        Some(peak) => format!(
            "memory: requested is the largest resident set that was measured, {peak}; the limit \
             adds {PROMPT_CACHE_MIB} MiB, what llama-server's prompt cache may take (--cache-ram)"
        ),
        None => "memory: it was not measured, so nothing is requested".to_owned(),
    });
    if setting.threads.cpu_mask.is_some() {
        notes.push(
            "a pod's CPUs are the kubelet's to choose: --cpu-mask names those of the measured \
             machine, and holds only on a node like it that shares all its CPUs; with the static \
             CPU manager policy leave it out and make requests and limits equal"
                .to_owned(),
        );
    }
    if wrapper::is_real_time(setting) || wrapper::locks_memory(setting) {
        notes.push("namespaces may forbid the capabilities under securityContext".to_owned());
    }
    match cards {
        Some(cards) if cards.backend == "CUDA" => {
            notes.push("nvidia.com/gpu needs NVIDIA's device plugin on the node".to_owned());
        }
        Some(cards) => notes.push(format!(
            "a pod gets devices of {} only from a device plugin of their maker, under a name of \
             its own",
            cards.backend
        )),
        None => {}
    }
    notes
}

fn service(subject: &Subject<'_>) -> Yaml {
    let name = label(subject.stem());
    let port = [
        ("name", Yaml::text("http")),
        ("port", Yaml::Number(8080)),
        ("targetPort", Yaml::text("http")),
    ];
    let spec = [
        ("selector", Yaml::map([("app.kubernetes.io/name", Yaml::text(name.clone()))])),
        ("ports", Yaml::List(vec![Yaml::map(port)])),
    ];
    Yaml::map([
        ("apiVersion", Yaml::text("v1")),
        ("kind", Yaml::text("Service")),
        ("metadata", Yaml::map([("name", Yaml::text(name))])),
        ("spec", Yaml::map(spec)),
    ])
}

/// A name that Kubernetes takes for objects and labels: a DNS label of at most 63 letters.
fn label(name: &str) -> String {
    let mut label = String::from("llama-server");
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            c if label.len() >= 60 && (c.is_ascii_alphanumeric()) => break,
            c if c.is_ascii_alphanumeric() => {
                if label == "llama-server" {
                    label.push('-');
                }
                label.push(c);
            }
            _ if label == "llama-server" || label.ends_with('-') => {}
            _ => label.push('-'),
        }
    }
    label.trim_end_matches('-').to_owned()
}

/// A string that Kubernetes does not expand.
fn text(text: &str) -> Yaml {
    Yaml::text(text.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{Devices, GpuLayers};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::export::tests::{everything, given, plain};

    fn read(subject: &Subject<'_>) -> [Value; 2] {
        let body = Kubernetes.write(subject).body;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&body).unwrap();
        documents.try_into().expect("a Deployment and a Service")
    }

    fn pod(deployment: &Value) -> &Value {
        &deployment["spec"]["template"]["spec"]
    }

    #[test]
    fn the_pod_asks_for_what_was_measured() {
        given(&plain(), "/m/A model.gguf", |subject| {
            let [deployment, service] = read(subject);
            let container = &pod(&deployment)["containers"][0];
            // 1 GiB was measured; 4 threads.
            assert_eq!(container["resources"]["requests"]["memory"], "1024Mi");
            assert_eq!(container["resources"]["limits"]["memory"], "9216Mi");
            assert_eq!(container["resources"]["limits"]["cpu"], "4");
            assert_eq!(container["args"][1], "/models/A model.gguf");
            assert_eq!(pod(&deployment)["volumes"][0]["hostPath"]["path"], "/m");
            assert_eq!(service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]);
            assert_eq!(deployment["metadata"]["name"], "llama-server-a-model");
            assert!(container.get("securityContext").is_none());
        });
    }

    #[test]
    fn what_a_pod_cannot_do_is_said() {
        given(&everything(), "/m.gguf", |subject| {
            let made = Kubernetes.write(subject);
            for said in ["static CPU manager", "`nice`, which is 5", "`memory_policy`"] {
                assert!(made.notes.iter().any(|note| note.contains(said)), "{said}: {made:?}");
            }
            let [deployment, _] = read(subject);
            let context = &pod(&deployment)["containers"][0]["securityContext"];
            assert_eq!(context["capabilities"]["add"], serde_json::json!(["IPC_LOCK", "SYS_NICE"]));
        });
    }

    #[test]
    fn cards_are_asked_for_by_their_plugins_name() {
        let mut setting = plain();
        setting.load.gpu_layers = GpuLayers::All;
        setting.load.devices = Devices::Named(vec!["CUDA0".into(), "CUDA1".into()]);
        given(&setting, "/m.gguf", |subject| {
            let [deployment, _] = read(subject);
            let container = &pod(&deployment)["containers"][0];
            assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "2");
            assert_eq!(container["image"], "ghcr.io/ggml-org/llama.cpp:server-cuda");
        });
    }

    proptest! {
        #[test]
        fn a_hostile_name_is_one_string_and_makes_a_fit_label(file in "[^/\0]{1,80}") {
            let path = format!("/{file}");
            given(&plain(), &path, |subject| {
                let [deployment, _] = read(subject);
                let argument = pod(&deployment)["containers"][0]["args"][1].as_str().unwrap();
                prop_assert!(!argument.replace("$$", "").contains('$'), "{}", argument);
                prop_assert_eq!(argument.replace("$$", "$"), format!("/models/{file}"));
                let label = deployment["metadata"]["name"].as_str().unwrap();
                let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                prop_assert!(label.len() <= 63 && label.chars().all(fits), "{}", label);
                prop_assert!(!label.ends_with('-') && label.starts_with('l'), "{}", label);
                Ok(())
            })?;
        }
    }
}
