//! What a quantization would be, before anything is written: llama.cpp's own choice of types, asked
//! for without doing it, and the bytes that follow from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::{Bytes, Language, QuantizeJob};

use super::QuantizeError;
use crate::gguf::{Header, ModelFile, TENSOR_TYPES, Tensor, TensorType};
use crate::synth::{FileType, file_type};

/// How long asking may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// A model that is to be quantized.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its file, the first of a split one.
    pub path: PathBuf,
    /// Its headers and what tells it from others.
    pub file: ModelFile,
}

impl Source {
    /// Opens a model; one that is quantized already is refused unless that is wanted.
    pub fn open(path: &Path, requantize: bool) -> Result<Self, QuantizeError> {
        let file = ModelFile::open(path)?;
        let source = Self { path: path.to_owned(), file };
        let weights: u64 = source.tensors().map(Tensor::weights).sum();
        let mut shares: BTreeMap<&str, u64> = BTreeMap::new();
        for tensor in source.tensors().filter(|tensor| tensor.kind.block > 1) {
            *shares.entry(tensor.kind.name).or_default() += tensor.weights();
        }
        match shares.into_iter().max_by_key(|(_, share)| *share) {
            Some((kind, share)) if !requantize => {
                let share = 100.0 * share as f64 / weights.max(1) as f64;
                Err(QuantizeError::Quantized { path: path.to_owned(), kind: kind.into(), share })
            }
            _ => Ok(source),
        }
    }

    /// The file's name without its ending, and without the number of a part.
    #[must_use]
    pub fn stem(&self) -> String {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        // The first part of a split model stands for all.
        name.rfind("-00001-of-").map_or(&*name, |at| &name[..at]).to_owned()
    }

    /// The tensors of all its files.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.file.tensors()
    }
}

/// How a file is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Its name, for example `q4_k_m`.
    pub name: String,
    /// llama.cpp's file type.
    pub file_type: FileType,
    /// Types of single tensors that are not left to the file type.
    pub types: Vec<(String, TensorType)>,
    /// The importance matrix.
    pub importance: Option<PathBuf>,
    /// Whether a source that is quantized already is taken.
    pub requantize: bool,
    /// Whether a split source stays split.
    pub keep_split: bool,
    /// Threads; 0: one for each CPU.
    pub threads: u32,
}

/// The recipe of a file type by its name.
pub fn recipe(name: &str, importance: Option<&Path>) -> Result<Recipe, QuantizeError> {
    let file_type = file_type(name).map_err(|_| QuantizeError::UnknownType(name.to_owned()))?;
    Ok(Recipe {
        name: file_type.name.to_owned(),
        file_type,
        types: Vec::new(),
        importance: importance.map(Path::to_owned),
        requantize: false,
        keep_split: false,
        threads: 0,
    })
}

impl Recipe {
    /// The question to the engine; `made_from` goes into the file.
    pub(super) fn job(
        &self,
        source: &Source,
        target: Option<PathBuf>,
        made_from: Vec<(String, String)>,
    ) -> QuantizeJob {
        QuantizeJob {
            source: source.path.clone(),
            target,
            metadata: made_from,
            file_type: self.file_type.id,
            importance: self.importance.clone(),
            types: self.types.iter().map(|(name, kind)| (name.clone(), kind.id)).collect(),
            requantize: self.requantize,
            // Of one part llama.cpp would make one of one.
            keep_split: self.keep_split && source.file.headers.len() > 1,
            threads: self.threads,
        }
    }
}

/// What a file would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The recipe's name.
    pub name: String,
    /// The type of each tensor, by its name.
    pub tensors: BTreeMap<String, TensorType>,
    /// Bytes of the file, to a few hundred: metadata grow a little.
    pub file_bytes: Bytes,
    /// Bits of all tensors over their weights.
    pub bits_per_weight: f64,
    /// Tensors that could not become what the file type has for them, one sentence for each type:
    /// `asked Q4_K, got Q5_0 × 28`.
    pub fallbacks: Vec<String>,
    /// What llama.cpp warned of.
    pub warnings: Vec<String>,
}

impl Planned {
    /// Tensors by type, the type with most bytes first.
    #[must_use]
    pub fn types(&self) -> Vec<(&'static str, u32)> {
        let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
        for kind in self.tensors.values() {
            *counts.entry(kind.name).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        counts
    }
}

/// Asks llama.cpp what it would make.
pub fn plan(
    language: &mut dyn Language,
    source: &Source,
    recipe: &Recipe,
) -> Result<Planned, QuantizeError> {
    let done = language.quantize(&recipe.job(source, None, Vec::new()), DEADLINE);
    let done = done.map_err(|cause| QuantizeError::Engine { what: recipe.name.clone(), cause })?;
    let mut tensors = BTreeMap::new();
    for (name, kind) in done.tensors {
        let unplanned = |why: String| QuantizeError::Unplanned { path: source.path.clone(), why };
        let known = TENSOR_TYPES.iter().find(|it| it.name.eq_ignore_ascii_case(&kind));
        let known = known.ok_or_else(|| unplanned(format!("{name} would be {kind}")))?;
        tensors.insert(name, *known);
    }
    let mut bytes = 0_u64;
    let mut weights = 0_u64;
    let mut aligned = 0_u64;
    let mut fallbacks: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for tensor in source.tensors() {
        let kind = tensors.get(&tensor.name).copied().ok_or_else(|| QuantizeError::Unplanned {
            path: source.path.clone(),
            why: format!("nothing is said of {}", tensor.name),
        })?;
        let own = kind.bytes(tensor.weights()).ok_or_else(|| QuantizeError::Unplanned {
            path: source.path.clone(),
            why: format!("{} cannot be {}", tensor.name, kind.name),
        })?;
        bytes += own;
        aligned += own.next_multiple_of(32);
        weights += tensor.weights();
        if let Some(asked) = fallback(tensor, kind, &recipe.name) {
            *fallbacks.entry((asked, kind.name)).or_default() += 1;
        }
    }
    if recipe.importance.is_none() {
        let demanding = tensors.iter().find(|(_, kind)| demands_importance(kind, &recipe.name));
        if let Some((tensor, kind)) = demanding {
            return Err(QuantizeError::NeedsImportance {
                name: recipe.name.clone(),
                tensor: tensor.clone(),
                kind: kind.name.to_owned(),
            });
        }
    }
    let heads: u64 = source.file.headers.iter().map(|header| header.data_start).sum();
    Ok(Planned {
        name: recipe.name.clone(),
        tensors,
        file_bytes: Bytes(heads + aligned),
        bits_per_weight: 8.0 * bytes as f64 / weights.max(1) as f64,
        fallbacks: fallbacks
            .into_iter()
            .map(|((asked, got), count)| format!("asked {asked}, got {got} × {count}"))
            .collect(),
        warnings: done.warnings,
    })
}

/// What a tensor would have become if its rows were of another length: llama.cpp falls back from
/// types with blocks of 256 (`llama-quant.cpp`, `tensor_type_fallback`).
fn fallback(tensor: &Tensor, got: TensorType, name: &str) -> Option<&'static str> {
    if tensor.dimensions[0].is_multiple_of(256) || tensor.dimensions.len() < 2 {
        return None;
    }
    let family = |begin: &str| name.starts_with(begin);
    match got.name {
        "Q5_0" if !family("q5_0") => Some("Q4_K"),
        "Q5_1" if !family("q5_1") => Some("Q5_K"),
        "Q8_0" if !family("q8_0") && !family("mxfp4") => Some("Q6_K"),
        "Q4_0" if family("q2_k") => Some("Q2_K"),
        "Q4_0" if family("q3_k") => Some("Q3_K"),
        "IQ4_NL" if family("iq") && !family("iq4_nl") => Some("an IQ type"),
        _ => None,
    }
}

/// Types that llama.cpp makes with an importance matrix only.
fn demands_importance(kind: &TensorType, name: &str) -> bool {
    let always = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"];
    always.contains(&kind.name) || (kind.name == "Q2_K" && name == "q2_k_s")
}

/// Whether a file's header has just these types.
pub(super) fn as_planned(headers: &[Header], planned: &Planned) -> Result<(), String> {
    let mut seen = 0;
    for tensor in headers.iter().flat_map(|header| &header.tensors) {
        match planned.tensors.get(&tensor.name) {
            Some(kind) if kind.id == tensor.kind.id => seen += 1,
            Some(kind) => {
                let (name, found, wanted) = (&tensor.name, tensor.kind.name, kind.name);
                return Err(format!("{name} is {found} and not {wanted}"));
            }
            None => return Err(format!("the tensor {} belongs to another model", tensor.name)),
        }
    }
    if seen == planned.tensors.len() { Ok(()) } else { Err("tensors are missing".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> TensorType {
        *TENSOR_TYPES.iter().find(|kind| kind.name == name).unwrap()
    }

    fn tensor(columns: u64, name: &str) -> Tensor {
        Tensor {
            name: "blk.0.attn_q.weight".into(),
            dimensions: vec![columns, 8],
            kind: kind(name),
            offset: 0,
            bytes: kind(name).bytes(columns * 8).unwrap(),
        }
    }

    #[test]
    fn rows_that_do_not_fit_a_type_are_told_by_what_they_became() {
        for (columns, got, name, asked) in [
            (64, "Q5_0", "q4_k_m", Some("Q4_K")),
            (64, "Q5_0", "q5_0", None),
            (64, "Q8_0", "q6_k", Some("Q6_K")),
            (64, "Q8_0", "q8_0", None),
            (64, "Q4_0", "q2_k", Some("Q2_K")),
            (64, "IQ4_NL", "iq3_s", Some("an IQ type")),
            (256, "Q5_0", "q4_k_m", None),
        ] {
            assert_eq!(fallback(&tensor(columns, "F16"), kind(got), name), asked, "{name} {got}");
        }
    }

    #[test]
    fn the_first_part_of_a_split_source_names_what_comes_of_it() {
        let file = ModelFile {
            path: PathBuf::new(),
            parts: Vec::new(),
            headers: Vec::new(),
            bytes: 0,
            digest: String::new(),
        };
        for (path, stem) in [("/m/a-f16.gguf", "a-f16"), ("/m/a-f16-00001-of-00007.gguf", "a-f16")]
        {
            assert_eq!(Source { path: path.into(), file: file.clone() }.stem(), stem);
        }
    }

    #[test]
    fn types_that_need_a_matrix_are_known() {
        assert!(demands_importance(&kind("IQ2_XS"), "iq2_xs"));
        assert!(demands_importance(&kind("Q2_K"), "q2_k_s"));
        assert!(!demands_importance(&kind("Q2_K"), "q2_k"));
        assert!(matches!(recipe("q5_9", None), Err(QuantizeError::UnknownType(_))));
        assert_eq!(recipe("Q4_K_M", None).unwrap().name, "q4_k_m");
    }

    #[test]
    fn a_file_is_as_planned_or_says_what_is_not() {
        let header = |tensors: Vec<Tensor>| Header {
            version: 3,
            values: BTreeMap::new(),
            tensors,
            alignment: 32,
            data_start: 0,
        };
        let planned = Planned {
            name: "q8_0".into(),
            tensors: BTreeMap::from([("blk.0.attn_q.weight".to_owned(), kind("Q8_0"))]),
            file_bytes: Bytes(1),
            bits_per_weight: 8.5,
            fallbacks: Vec::new(),
            warnings: Vec::new(),
        };
        assert_eq!(as_planned(&[header(vec![tensor(64, "Q8_0")])], &planned), Ok(()));
        let wrong = as_planned(&[header(vec![tensor(64, "F16")])], &planned).unwrap_err();
        assert_eq!(wrong, "blk.0.attn_q.weight is F16 and not Q8_0");
        assert_eq!(as_planned(&[header(vec![])], &planned).unwrap_err(), "tensors are missing");
    }
}
