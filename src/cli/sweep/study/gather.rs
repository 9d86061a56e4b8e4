//! The candidates of a study: named, made from the source, or twins of its header.

use std::fs;
use std::path::{Path, PathBuf};

use autotune_engine::api::Bytes;

use super::{CHUNK, Study, Way, names, own_folder, short, types};
use crate::appraise::{chunks, tokenize_alike};
use crate::cli::quality::subject;
use crate::cli::speech::{self, Purpose, Speaking, quantize_stop};
use crate::cli::sweep::Arguments;
use crate::cli::synth::{model_file, with_progress};
use crate::cli::{Exit, Printer, Stop, model};
use crate::gguf::ModelFile;
use crate::model::StudyCandidate;
use crate::quantize::{
    Contents, Existing, Placed, QuantizeError, Source, cache, contents, plan, recipe, write,
};
use crate::synth::{self, Replace, Request, Shape};

impl Study {
    /// The candidates' files: named, made from the source, or twins of its header.
    pub(super) fn gather(
        arguments: &Arguments,
        folder: &Path,
        speaking: &mut Speaking,
        printer: Printer,
    ) -> Result<Self, Stop> {
        let names = names(arguments);
        let mut study = Self {
            folder: folder.to_owned(),
            source: String::new(),
            reference: None,
            speed_only: false,
            ways: Vec::new(),
            quality: None,
            answers: Vec::new(),
            notes: Vec::new(),
        };
        match (names.as_slice(), &arguments.reference) {
            ([name], _) => {
                let path = model_file(name, printer)?;
                match Source::open(&path, false) {
                    Ok(source) => study.quantized(arguments, &source, speaking, printer)?,
                    Err(QuantizeError::Quantized { .. }) => {
                        study.twins(arguments, &path, printer)?;
                    }
                    Err(error) => return Err(quantize_stop(&error)),
                }
            }
            (names, reference) => {
                let reference = reference.as_deref().unwrap_or_default();
                let file = open(&model_file(reference, printer)?)?;
                study.source = file.path.to_string_lossy().into_owned();
                study.reference = Some(file);
                for name in names {
                    study.add(&short(name), &model_file(name, printer)?, Vec::new())?;
                }
                // Under the name that it has among the candidates.
                let own = study.ways.iter().find(|way| study.is_reference(way));
                if let Some(model) = own.map(|way| way.candidate.model.clone()) {
                    study.source = model;
                }
            }
        }
        study.readable(arguments, speaking)?;
        Ok(study)
    }

    /// Whether all of them read the text, and alike: known before hours are spent on them.
    fn readable(&self, arguments: &Arguments, speaking: &mut Speaking) -> Result<(), Stop> {
        let Some(reference) = &self.reference else { return Ok(()) };
        let text = speech::text(&arguments.text, Purpose::Evaluation)?;
        let others = self.ways.iter().map(|way| way.file.clone());
        let models: Vec<PathBuf> = [reference.path.clone()].into_iter().chain(others).collect();
        let tokens = tokenize_alike(&mut speaking.engine, &models, &text)
            .map_err(|error| speech::text_stop(&error))?;
        chunks(&tokens, CHUNK).map_err(|error| speech::text_stop(&error))?;
        Ok(())
    }

    fn add(&mut self, wanted: &str, path: &Path, fallbacks: Vec<String>) -> Result<(), Stop> {
        let model = open(path)?;
        let about = subject(&path.to_string_lossy(), &model);
        let taken =
            |name: &str| self.ways.iter().any(|way| own_folder(&way.name) == own_folder(name));
        let mut name = wanted.to_owned();
        let mut number = 2;
        while taken(&name) {
            name = format!("{wanted}-{number}");
            number += 1;
        }
        let candidate = StudyCandidate {
            name: name.clone(),
            model: about.model,
            file_bytes: about.file_bytes,
            bits_per_weight: about.bits_per_weight,
            fallbacks,
            same_as: None,
            run: None,
            flags: Vec::new(),
            decode_tok_per_s: None,
            prefill_tok_per_s: None,
            peak_memory_bytes: None,
            quality: None,
            left_out: None,
        };
        self.ways.push(Way { name, file: path.to_owned(), model, candidate, setting: None });
        Ok(())
    }

    /// Makes the files in the cache; those that are there stay.
    fn quantized(
        &mut self,
        arguments: &Arguments,
        source: &Source,
        speaking: &mut Speaking,
        printer: Printer,
    ) -> Result<(), Stop> {
        self.source = source.path.to_string_lossy().into_owned();
        self.reference = Some(source.file.clone());
        self.add("source", &source.path, Vec::new())?;
        let cache = cache::folder_of(&model::quantized_folder()?, &source.file.digest);
        let mut known: Vec<(String, Contents)> = Vec::new();
        for name in types(arguments) {
            let recipe = recipe(&name, None).map_err(|it| quantize_stop(&it))?;
            let planned = match plan(&mut speaking.engine, source, &recipe) {
                Ok(planned) => planned,
                Err(error @ QuantizeError::NeedsImportance { .. }) => {
                    self.notes.push(format!("{name} was left out: {error}"));
                    continue;
                }
                Err(error) => return Err(quantize_stop(&error)),
            };
            let placed = Placed {
                folder: cache.clone(),
                stem: format!("{}-{}", source.stem(), recipe.name),
                existing: Existing::Renew,
            };
            let bar = printer.bar_of_bytes(&recipe.name, Some(planned.file_bytes.0));
            let grow = |bytes: Bytes| bar.set_position(bytes.0);
            let done = write(&mut speaking.engine, source, &recipe, &planned, &placed, &grow);
            bar.finish_and_clear();
            let written = done.map_err(|it| quantize_stop(&it))?;
            self.add(&recipe.name, &written.path, planned.fallbacks)?;
            let Some(way) = self.ways.last_mut() else { continue };
            let own = contents(&way.model).map_err(|it| quantize_stop(&it))?;
            let twin = known.iter().find(|(_, contents)| *contents == own);
            way.candidate.same_as = twin.map(|(twin, _)| twin.clone());
            known.push((recipe.name, own));
        }
        Ok(())
    }

    /// Files of the same shape with weights that are noise: speed and memory, and nothing else.
    fn twins(&mut self, arguments: &Arguments, path: &Path, printer: Printer) -> Result<(), Stop> {
        self.speed_only = true;
        self.notes.push(format!(
            "{} is quantized already, so the others are files of its shape with random weights: \
             their speed and memory are real, their answers are not",
            path.display()
        ));
        let shape = Shape::from_gguf(path).map_err(|it| Stop::from_error(Exit::Usage, &it))?;
        let digest = open(path)?.digest;
        let cache = cache::folder_of(&model::quantized_folder()?, &digest);
        fs::create_dir_all(&cache).map_err(|error| Stop::from_error(Exit::Failure, &error))?;
        self.source = path.to_string_lossy().into_owned();
        self.add("source", path, Vec::new())?;
        for name in types(arguments) {
            let file_type =
                synth::file_type(&name).map_err(|it| Stop::from_error(Exit::Usage, &it))?;
            let target = cache.join(format!("twin-{}.gguf", file_type.name));
            if open(&target).is_err() {
                let request = Request { shape: shape.clone(), file_type, seed: 0 };
                with_progress(printer, &target, |progress| {
                    synth::write(&request, &target, Replace::Existing, progress)
                })?;
            }
            self.add(file_type.name, &target, Vec::new())?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<ModelFile, Stop> {
    ModelFile::open(path).map_err(|error| Stop::from_error(Exit::Usage, &error))
}
