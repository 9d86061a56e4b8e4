//! Docker: a `compose.yaml`.
//!
//! Keys are those of the Compose specification; `$` is doubled because of its interpolation.

use super::device::{self, Cards};
use super::wrapper::{self, Wrapper};
use super::yaml::Yaml;
use super::{Subject, Target, Written, unsaid};
use crate::knob::Tool;

/// A `compose.yaml`.
#[derive(Debug)]
pub(super) struct DockerCompose;

impl Target for DockerCompose {
    fn name(&self) -> &'static str {
        "docker-compose"
    }

    fn summary(&self) -> &'static str {
        "a compose.yaml with llama.cpp's image"
    }

    fn wants_absolute_path(&self) -> bool {
        true
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let cards = device::cards(subject);
        let service = Yaml::map(service(subject, cards.as_ref()));
        let services = Yaml::map([("llama-server", service)]);
        let mut notes = subject.notes(Tool::LlamaServer);
        notes.extend(around(subject, "Compose"));
        notes.extend(device::notes(subject, cards.as_ref()));
        Written {
            body: Yaml::map([("services", services)]).document(),
            usage: vec![
                "docker compose -f THIS-FILE up --detach; it answers on http://127.0.0.1:8080"
                    .to_owned(),
            ],
            notes,
        }
    }
}

fn service<'a>(subject: &Subject<'_>, cards: Option<&Cards>) -> Vec<(&'a str, Yaml)> {
    let setting = subject.setting();
    let wrapper = Wrapper::with_cpus(setting);
    let folder = subject.folder_and_file().0;
    let volume = [
        ("type", Yaml::text("bind")),
        ("source", text(folder)),
        ("target", Yaml::text(MODELS)),
        ("read_only", Yaml::Bool(true)),
        ("bind", Yaml::map([("create_host_path", Yaml::Bool(false))])),
    ];
    let mut service = vec![
        ("image", Yaml::text(device::image(cards))),
        ("command", Yaml::List(arguments(subject).iter().map(|word| text(word)).collect())),
        ("ports", Yaml::texts(["127.0.0.1:8080:8080"])),
        ("volumes", Yaml::List(vec![Yaml::map(volume)])),
    ];
    if !wrapper.environment.is_empty() {
        let pairs = wrapper.environment.iter().map(|(name, value)| (*name, text(value)));
        service.push(("environment", Yaml::map(pairs)));
    }
    if let Some(mask) = &wrapper.cpus {
        service.push(("cpuset", Yaml::text(wrapper::cpu_list(mask))));
    }
    if wrapper::locks_memory(setting) {
        service.push(("ulimits", Yaml::map([("memlock", Yaml::Number(-1))])));
    }
    if wrapper::is_real_time(setting) {
        service.push(("cap_add", Yaml::texts(["SYS_NICE"])));
    }
    match cards.map(|cards| cards.backend.as_str()) {
        Some("CUDA") => service.push(("deploy", nvidia())),
        Some("Vulkan" | "SYCL") => service.push(("devices", Yaml::texts(["/dev/dri:/dev/dri"]))),
        Some("ROCm") => {
            service.push(("devices", Yaml::texts(["/dev/kfd:/dev/kfd", "/dev/dri:/dev/dri"])));
        }
        _ => {}
    }
    service.push(("restart", Yaml::text("unless-stopped")));
    service
}

/// Where containers see the model's folder.
pub(super) const MODELS: &str = "/models";

/// What follows the program in a container.
pub(super) fn arguments(subject: &Subject<'_>) -> Vec<String> {
    let model = format!("{MODELS}/{}", subject.folder_and_file().1);
    let mut words = subject.arguments(Tool::LlamaServer, &model);
    words.extend(["--host", "0.0.0.0", "--port", "8080"].map(str::to_owned));
    words
}

/// What stands in front of a program elsewhere and has no place in front of an image's.
pub(super) fn around(subject: &Subject<'_>, who: &str) -> Vec<String> {
    let setting = subject.setting();
    let unsaid = unsaid::unsaid(Tool::LlamaServer, setting, &subject.tuned());
    let lost = unsaid.iter().filter(|(knob, _)| ["memory_policy", "nice"].contains(&knob.name()));
    let mut notes: Vec<String> =
        lost.map(|(knob, level)| subject.unsaid(who, *knob, level)).collect();
    if !setting.process.rpc.is_empty() {
        notes.push("whether the image reaches RPC servers depends on how it was built".to_owned());
    }
    notes
}

/// All cards of NVIDIA's; `--device` chooses among them.
fn nvidia() -> Yaml {
    let device = [
        ("driver", Yaml::text("nvidia")),
        ("count", Yaml::text("all")),
        ("capabilities", Yaml::texts(["gpu"])),
    ];
    let devices = Yaml::List(vec![Yaml::map(device)]);
    let reservations = Yaml::map([("devices", devices)]);
    Yaml::map([("resources", Yaml::map([("reservations", reservations)]))])
}

/// A string that Compose does not interpolate.
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

    fn read(subject: &Subject<'_>) -> Value {
        let body = DockerCompose.write(subject).body;
        let read: Value = serde_saphyr::from_str(&body).unwrap();
        read["services"]["llama-server"].clone()
    }

    /// What Compose makes of a string.
    fn interpolated(text: &str) -> String {
        assert!(!text.replace("$$", "").contains('$'), "a variable is left: {text}");
        text.replace("$$", "$")
    }

    /// Keys of a service in the Compose specification that we write.
    const KEYS: [&str; 11] = [
        "cap_add",
        "command",
        "cpuset",
        "deploy",
        "devices",
        "environment",
        "image",
        "ports",
        "restart",
        "ulimits",
        "volumes",
    ];

    #[test]
    fn the_parts_of_a_setting_are_keys_of_the_service() {
        given(&everything(), "/m/a.gguf", |subject| {
            let service = read(subject);
            assert_eq!(service["cpuset"], "0,2,4");
            assert_eq!(service["ulimits"]["memlock"], -1);
            assert_eq!(service["cap_add"][0], "SYS_NICE");
            assert_eq!(service["environment"]["GLIBC_TUNABLES"], "glibc.malloc.hugetlb=1");
            let keys = service.as_object().unwrap().keys();
            assert!(keys.clone().all(|key| KEYS.contains(&key.as_str())), "{keys:?}");
            let notes = DockerCompose.write(subject).notes;
            for knob in ["`memory_policy`, which is interleave", "`nice`, which is 5"] {
                assert!(notes.iter().any(|note| note.contains(knob)), "{knob}: {notes:?}");
            }
        });
        given(&plain(), "/m/a.gguf", |subject| {
            let service = read(subject);
            assert_eq!(service["image"], "ghcr.io/ggml-org/llama.cpp:server");
            for key in ["cpuset", "ulimits", "cap_add", "environment", "deploy", "devices"] {
                assert!(service.get(key).is_none(), "{key}: {service}");
            }
        });
    }

    #[test]
    fn devices_bring_their_image() {
        for (name, image, key) in
            [("CUDA0", "server-cuda", "deploy"), ("Vulkan0", "server-vulkan", "devices")]
        {
            let mut setting = plain();
            setting.load.gpu_layers = GpuLayers::All;
            setting.load.devices = Devices::Named(vec![name.into()]);
            given(&setting, "/m.gguf", |subject| {
                let service = read(subject);
                assert!(service["image"].as_str().unwrap().ends_with(image), "{service}");
                assert!(service.get(key).is_some(), "{service}");
                assert_eq!(service["volumes"][0]["source"], "/");
            });
        }
    }

    proptest! {
        #[test]
        fn a_hostile_name_is_one_string(folder in "[^/\0]{1,20}", file in "[^/\0]{1,20}") {
            let path = format!("/{folder}/{file}");
            given(&plain(), &path, |subject| {
                let service = read(subject);
                let string = |value: &Value| interpolated(value.as_str().unwrap());
                prop_assert_eq!(string(&service["command"][1]), format!("/models/{file}"));
                prop_assert_eq!(string(&service["volumes"][0]["source"]), format!("/{folder}"));
                Ok(())
            })?;
        }
    }
}
