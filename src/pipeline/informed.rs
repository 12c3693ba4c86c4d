//! What is known about callers: the files of the operator, and names that the directory gives.

use std::sync::Arc;

use crate::aggregate::names::NameKind;
use crate::azure::Directory;
use crate::engine::effects::Effects;
use crate::known::Known;
use crate::known::identity::Names;

/// Both together, as last told.
pub(super) struct Informed {
    directory: Option<Directory>,
    files: Arc<Known>,
    names: Arc<Names>,
}

impl Informed {
    pub(super) fn new(directory: Option<Directory>, files: Arc<Known>) -> Self {
        Self { directory, files, names: Arc::default() }
    }

    /// What is known from now on, when either has changed; `files` is what has changed there. Does
    /// not wait.
    pub(super) fn latest(&mut self, files: Option<Arc<Known>>) -> Option<Arc<Known>> {
        let names = self.directory.as_mut().and_then(Directory::news);
        if files.is_none() && names.is_none() {
            return None;
        }
        if let Some(files) = files {
            self.files = files;
        }
        if let Some(names) = names {
            let pairs = names.iter().map(|(id, name)| (id.clone(), name.clone()));
            self.names = Arc::new(pairs.collect());
        }
        Some(Arc::new((*self.files).clone().with_names(Arc::clone(&self.names))))
    }

    /// Asks for the names of identities that were seen for the first time, so that they are there
    /// before an incident needs them, and of those that an incident names without one.
    pub(super) fn ask(&self, effects: &Effects) {
        let Some(directory) = &self.directory else { return };
        let new = effects.accounts.values().flat_map(|account| &account.names);
        let new = new.filter(|(_, kind, _)| *kind == NameKind::Identity).map(|(_, _, id)| id);
        let told = effects.announcements.iter().flat_map(|told| &told.incident.callers);
        let told = told.filter(|caller| caller.name.is_none()).map(|caller| &caller.identity);
        directory.ask(new.chain(told).map(String::as_str));
    }

    pub(super) async fn close(self) {
        if let Some(directory) = self.directory {
            directory.close().await;
        }
    }
}
