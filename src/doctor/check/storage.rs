//! What the model is read from.

use super::{Fault, Look, Rule, StorageKind, Subject, unseen};

pub(super) const MODEL_STORAGE: Rule = Rule {
    id: "model-storage",
    title: "the storage that models are read from",
    figure: None,
    look: model_storage,
};

fn model_storage(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let (kind, source) = match subject.model {
        Some(_) => (subject.model_storage, "storage of the model"),
        None => (subject.model_storage.or(machine.storage.kind), "storage.kind"),
    };
    let Some(kind) = kind else {
        return match subject.model {
            Some(_) => Look::Unseen("the kernel does not tell what the model lies on".to_owned()),
            None => unseen(machine, "storage.kind"),
        };
    };
    let (word, what) = match kind {
        StorageKind::Nvme | StorageKind::Ssd => return Look::Fine,
        StorageKind::Hdd => ("spinning disk", "models lie on a spinning disk"),
        StorageKind::Network => ("network", "models lie on another machine"),
    };
    let from =
        subject.model.map_or_else(|| "MODEL.gguf".into(), |model| model.path.to_string_lossy());
    Fault::new(format!("{what}: loading is slow, and so is every page that was dropped"))
        .shown(source, word)
        .remedy(format!("cp '{from}' FOLDER    # of a local flash disk"))
        .found()
}
