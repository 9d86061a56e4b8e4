//! LM Studio: the load settings that its app keeps for a model.
//!
//! The keys and their values are those of the schema that LM Studio publishes in its SDK
//! (`packages/lms-kv-config` of lmstudio-js). The file around them, `{preset, operation, load}`
//! with lists of fields, is documented nowhere: it is what the app was seen to write.

use autotune_engine::api::{FlashAttention, GpuLayers, KvType, LoadMode, Setting, Toggle};
use serde_json::{Value, json};

use super::wrapper::{self, Wrapper};
use super::{Subject, Target, Written, flags, unsaid};
use crate::knob::{self, Knob, Tool};
use crate::model::Level;

/// The load settings of a model in LM Studio.
#[derive(Debug)]
pub(super) struct LmStudio;

/// Types that LM Studio has for its caches.
const KV_TYPES: [KvType; 8] = [
    KvType::F32,
    KvType::F16,
    KvType::Q8_0,
    KvType::Q4_0,
    KvType::Q4_1,
    KvType::Iq4Nl,
    KvType::Q5_0,
    KvType::Q5_1,
];

impl Target for LmStudio {
    fn name(&self) -> &'static str {
        "lm-studio"
    }

    fn summary(&self) -> &'static str {
        "the load settings that the app keeps for a model, as JSON"
    }

    fn comment(&self) -> Option<&'static str> {
        None
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let setting = subject.setting();
        let tuned = subject.tuned();
        let plain = knob::plain(setting);
        let (mut fields, mut notes) = (Vec::new(), Vec::new());
        for knob in flags::written(Tool::LlamaServer, setting, &tuned) {
            let own = said(knob.name(), setting, subject.plan.model.layers);
            let level = knob.read(setting);
            // The app's own default is four at once.
            let off_default = level != knob.read(&plain) || knob.name() == "sequences";
            let silent = own.is_empty() && off_default;
            if silent && !unsaid::is_wrapped(knob.name(), setting) && knob.name() != "isa_variant" {
                notes.push(unsaid_note(subject, knob, &level));
            }
            fields.extend(own.into_iter().map(|(key, value)| json!({"key": key, "value": value})));
        }
        if !setting.process.rpc.is_empty() {
            notes.push("LM Studio reaches no RPC servers".to_owned());
        }
        notes.extend(around(setting));
        notes.push(
            "LM Studio runs a build of llama.cpp of its own, and the form of this file was seen, \
             not documented: look at the model's load settings in the app afterwards"
                .to_owned(),
        );
        let file = json!({
            "preset": "",
            "operation": { "fields": [] },
            "load": { "fields": fields },
        });
        let body = serde_json::to_string_pretty(&file).expect("plain data") + "\n";
        let usage = vec![
            "save it as ~/.lmstudio/.internal/user-concrete-model-default-config/PUBLISHER/REPOSITORY/\
             FILE.gguf.json while the app is closed"
                .to_owned(),
        ];
        Written { body, usage, notes }
    }
}

/// LM Studio's fields for a knob; none where it has no word for its level.
fn said(knob: &str, setting: &Setting, layers: u32) -> Vec<(&'static str, Value)> {
    let (load, context) = (&setting.load, &setting.context);
    let cache = |kind: KvType| {
        KV_TYPES.contains(&kind).then(|| json!({"checked": true, "value": kind.word()}))
    };
    let field = |key, value: Option<Value>| value.map(|value| (key, value)).into_iter().collect();
    match knob {
        "threads" => {
            field("llm.load.llama.cpuThreadPoolSize", Some(json!(setting.threads.threads)))
        }
        "context" => field("llm.load.contextLength", Some(json!(context.context))),
        "batch" => field("llm.load.llama.evalBatchSize", Some(json!(context.batch))),
        "flash_attention" => field(
            "llm.load.llama.flashAttention",
            match context.flash_attention {
                FlashAttention::On => Some(json!(true)),
                FlashAttention::Off => Some(json!(false)),
                FlashAttention::Auto => None,
            },
        ),
        "gpu_layers" => field(
            "llm.load.llama.acceleration.offloadRatio",
            Some(match load.gpu_layers {
                GpuLayers::Count(count) => share(count, layers),
                GpuLayers::All => json!("max"),
            }),
        ),
        "cpu_experts" => {
            field("llm.load.numCpuExpertLayersRatio", Some(share(load.cpu_experts, layers)))
        }
        "type_k" => field("llm.load.llama.kCacheQuantizationType", cache(context.type_k)),
        "type_v" => field("llm.load.llama.vCacheQuantizationType", cache(context.type_v)),
        "kv_offload" => {
            field("llm.load.offloadKVCacheToGpu", Some(json!(context.kv_offload == Toggle::On)))
        }
        "load_mode" => load_mode(load.load_mode),
        _ => Vec::new(),
    }
}

/// Layers as LM Studio has them: a share of all, or a word at the ends.
fn share(count: u32, layers: u32) -> Value {
    match count {
        0 => json!("off"),
        count if count >= layers.max(1) => json!("max"),
        count => json!(f64::from(count) / f64::from(layers)),
    }
}

fn load_mode(mode: LoadMode) -> Vec<(&'static str, Value)> {
    let both = |map: bool, keep: bool| {
        let (map, keep) = (json!(map), json!(keep));
        vec![("llm.load.llama.tryMmap", map), ("llm.load.llama.keepModelInMemory", keep)]
    };
    match mode {
        LoadMode::None => both(false, false),
        LoadMode::Mmap => both(true, false),
        LoadMode::Mlock => both(false, true),
        LoadMode::MmapMlock => both(true, true),
        LoadMode::Auto | LoadMode::DirectIo => Vec::new(),
    }
}

/// What it has no field for, with its place in the app where there is one.
fn unsaid_note(subject: &Subject<'_>, knob: &dyn Knob, level: &Level) -> String {
    let note = subject.unsaid("LM Studio", knob, level);
    match knob.name() {
        "sequences" => format!("{note}; in the app it is Max Concurrent Predictions"),
        _ => note,
    }
}

/// What the app has to be started with.
fn around(setting: &Setting) -> Vec<String> {
    let words = Wrapper::of(setting).words();
    let started = (!words.is_empty())
        .then(|| format!("LM Studio itself has to be started under: {}", words.join(" ")));
    started.into_iter().chain(wrapper::privileges(setting)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::{everything, given, plain};

    fn read(subject: &Subject<'_>) -> Value {
        let file: Value = serde_json::from_str(&LmStudio.write(subject).body).unwrap();
        let fields = file["load"]["fields"].as_array().unwrap().iter();
        fields
            .map(|field| (field["key"].as_str().unwrap().to_owned(), field["value"].clone()))
            .collect()
    }

    #[test]
    fn what_the_app_has_a_field_for_is_one_and_the_rest_a_note() {
        let mut setting = plain();
        setting.load.gpu_layers = GpuLayers::Count(4);
        setting.load.load_mode = LoadMode::MmapMlock;
        setting.context.type_k = KvType::Q8_0;
        setting.context.ubatch = 256;
        setting.context.sequences = 2;
        given(&setting, "/m.gguf", |subject| {
            assert_eq!(
                read(subject),
                json!({
                    "llm.load.llama.cpuThreadPoolSize": 4,
                    "llm.load.contextLength": 4096,
                    "llm.load.llama.evalBatchSize": 2048,
                    "llm.load.llama.acceleration.offloadRatio": 0.25,
                    "llm.load.llama.kCacheQuantizationType": {"checked": true, "value": "q8_0"},
                    "llm.load.llama.tryMmap": true,
                    "llm.load.llama.keepModelInMemory": true,
                })
            );
            let notes = LmStudio.write(subject).notes;
            let ubatch = "LM Studio has no word for `ubatch`, which is 256: alone it gave +4.2 % \
                          [+1.0 %, +7.5 %]";
            assert_eq!(notes[0], ubatch);
            assert!(notes[1].contains("Max Concurrent Predictions"), "{notes:?}");
        });
    }

    #[test]
    fn a_cache_type_that_the_app_lacks_is_a_note() {
        given(&everything(), "/m.gguf", |subject| {
            let notes = LmStudio.write(subject).notes;
            assert!(notes.iter().any(|note| note.contains("`type_v`, which is bf16")), "{notes:?}");
            assert!(notes.iter().any(|note| note.contains("started under: env ")), "{notes:?}");
        });
    }

    proptest! {
        #[test]
        fn shares_lie_between_none_and_all(count in 0_u32..200, layers in 0_u32..200) {
            let share = share(count, layers);
            let fits = share.as_f64().is_some_and(|it| 0.0 < it && it < 1.0);
            prop_assert!(fits || share == "off" || share == "max", "{}", share);
        }
    }
}
