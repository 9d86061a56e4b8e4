//! Verdicts on the CPU variants: each self-test starts a process, so they are kept for as long as
//! nothing that decides them changes.

use autotune_engine::api::{Engine, Failure, VariantFault, VariantReport, VariantVerdict};
use autotune_engine::llama::Modules;

use super::{Printer, Verbosity, model};
use crate::detect::{self, ceiling};
use crate::model::{Machine, Provenance};
use crate::store::{PeakStore, Tested};

/// The variants of this machine's engine, tested now unless that was done before. `machine` is
/// the one that this program runs on.
pub(super) fn variants(
    engine: &mut dyn Engine,
    machine: &Machine,
    weight_types: &[String],
    printer: Printer,
) -> Result<Vec<VariantReport>, Failure> {
    let identity = engine.identity()?;
    let kept = model::cache_folder().ok().map(|folder| PeakStore::below(&folder));
    let live = machine.provenance == Provenance::Live && !identity.synthetic;
    let facts = kept.filter(|_| live).zip(ceiling::boot(&detect::live())).zip(modules());
    let Some(((kept, boot), modules)) = facts else { return engine.variants(weight_types) };
    let mut types = weight_types.to_vec();
    types.sort();
    types.dedup();
    let tested = Tested { boot: &boot, engine: &identity, modules: &modules, weight_types: &types };
    if let Some(known) = kept.variants(machine, tested) {
        return Ok(known);
    }
    let found = engine.variants(weight_types)?;
    if found.iter().all(lasting)
        && let Err(error) = kept.keep_variants(machine, tested, &found)
    {
        printer.say_at(Verbosity::Verbose, format!("not kept: {error}"));
    }
    Ok(found)
}

/// Whether the verdict is the variant's, and not one of a moment without memory or processes.
fn lasting(report: &VariantReport) -> bool {
    !matches!(report.verdict, VariantVerdict::Failed { fault: VariantFault::Untested, .. })
}

/// Digest of the variants' files; `None` where one cannot be read.
fn modules() -> Option<String> {
    let modules = Modules::find().ok()?;
    let mut digest = blake3::Hasher::new();
    for variant in modules.variants() {
        digest.update(variant.as_bytes());
        digest.update(&std::fs::read(modules.variant(variant)?).ok()?);
    }
    Some(digest.finalize().to_hex().to_string())
}
