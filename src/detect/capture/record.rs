//! A host that notes what is asked of another one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::{Card, Host, Registers, Unread};
use crate::model::Provenance;

/// What was read of a machine.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Every file that was looked for, by its path.
    pub(super) files: BTreeMap<String, Result<Vec<u8>, Unread>>,
    /// Every folder that was listed.
    pub(super) folders: BTreeMap<String, Vec<String>>,
}

/// Passes questions on and keeps the answers: a file that is read twice says the same twice.
/// hwloc is not asked, so that the kernel's files are read which tell the same elsewhere.
pub(super) struct Recorder<'a> {
    host: &'a dyn Host,
    asks_registers: bool,
    records: RefCell<Records>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(host: &'a dyn Host) -> Self {
        Self { host, asks_registers: true, records: RefCell::default() }
    }

    /// As where the processor cannot be asked, which leads probes to other files.
    pub(super) fn without_registers(self) -> Self {
        Self { asks_registers: false, ..self }
    }

    pub(super) fn finish(self) -> Records {
        self.records.into_inner()
    }
}

impl Host for Recorder<'_> {
    fn read(&self, path: &str) -> Result<String, Unread> {
        let mut records = self.records.borrow_mut();
        let known = records.files.entry(path.to_owned());
        let known = known.or_insert_with(|| self.host.read(path).map(String::into_bytes));
        known.clone().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn read_bytes(&self, path: &str) -> Result<Vec<u8>, Unread> {
        let mut records = self.records.borrow_mut();
        let known = records.files.entry(path.to_owned());
        known.or_insert_with(|| self.host.read_bytes(path)).clone()
    }

    fn list(&self, path: &str) -> Vec<String> {
        let mut records = self.records.borrow_mut();
        let known = records.folders.entry(path.to_owned());
        known.or_insert_with(|| self.host.list(path)).clone()
    }

    fn provenance(&self) -> Provenance {
        self.host.provenance()
    }

    fn now(&self) -> String {
        self.host.now()
    }

    fn registers(&self) -> Option<Registers> {
        self.asks_registers.then(|| self.host.registers()).flatten()
    }

    fn threads(&self) -> Option<u32> {
        self.host.threads()
    }

    fn architecture(&self) -> Option<String> {
        self.host.architecture()
    }

    fn nvidia(&self) -> Result<Vec<Card>, String> {
        self.host.nvidia()
    }

    fn model_folder(&self) -> Option<PathBuf> {
        self.host.model_folder()
    }
}
