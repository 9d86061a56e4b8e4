//! Instruction sets: what the processor announces against what works and what is used.

use autotune_engine::api::{VariantReport, VariantVerdict};

use super::{Fault, Look, Rule, Subject, unseen};

pub(super) const ISA_UNUSABLE: Rule = Rule {
    id: "isa-unusable",
    title: "instruction sets that are announced and die or compute wrongly",
    figure: None,
    look: isa_unusable,
};

pub(super) const ENGINE_VARIANT: Rule = Rule {
    id: "engine-variant",
    title: "the engine's CPU variant against the best that this processor announces",
    figure: None,
    look: engine_variant,
};

fn isa_unusable(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let Some(unusable) = &machine.cpu.isa_unusable else {
        return unseen(machine, "cpu.isa_unusable");
    };
    if unusable.is_empty() {
        return Look::Fine;
    }
    let names: Vec<&str> = unusable.iter().map(|isa| isa.name.as_str()).collect();
    let fault = Fault::new(format!("announced and not usable: {}", names.join(", ")));
    let fault = unusable.iter().fold(fault, |fault, isa| {
        fault.shown("cpu.isa_unusable", format!("{}: {}", isa.name, isa.reason))
    });
    fault
        .remedy(
            "use an engine variant without them, as autotune does; where it is a virtual machine, \
             ask for another processor model or a newer hypervisor",
        )
        .found()
}

fn engine_variant(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let Some(engine) = &machine.engine else {
        return Look::Unseen("the engine was not asked".to_owned());
    };
    let variants = &engine.variants;
    if variants.is_empty() {
        return Look::Unseen("the engine lists no CPU variants".to_owned());
    }
    let best = variants.iter().position(|variant| variant.verdict == VariantVerdict::Usable);
    let above = best.map_or(variants.as_slice(), |place| &variants[..place]);
    let failed: Vec<(&VariantReport, &String)> = above
        .iter()
        .filter_map(|variant| match &variant.verdict {
            VariantVerdict::Failed { reason, .. } => Some((variant, reason)),
            VariantVerdict::Usable | VariantVerdict::Unsupported => None,
        })
        .collect();
    if failed.is_empty() && best.is_some() {
        return Look::Fine;
    }
    let used = best.and_then(|place| variants.get(place)).map(|variant| variant.name.as_str());
    let what = match used {
        Some(name) => format!(
            "the engine runs its variant {name}; {} better {} announced and failed",
            failed.len(),
            if failed.len() == 1 { "one is" } else { "ones are" }
        ),
        None => "no CPU variant of the engine works on this processor".to_owned(),
    };
    let fault = failed.into_iter().fold(Fault::new(what), |fault, (variant, reason)| {
        fault.shown("engine.variants", format!("{}: {reason}", variant.name))
    });
    fault
        .remedy(
            "a build of llama.cpp for this very processor may die; where it is a virtual machine, \
             ask for another processor model or a newer hypervisor",
        )
        .found()
}
