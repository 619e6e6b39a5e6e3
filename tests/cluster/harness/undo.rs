//! What a scenario changed on a cluster is changed back when it ends, however that happens.

/// Runs something at the end of its life.
#[must_use = "it is undone at once otherwise"]
pub struct Undo<'c>(Option<Box<dyn FnOnce() + 'c>>);

impl<'c> Undo<'c> {
    pub fn by(undo: impl FnOnce() + 'c) -> Self {
        Undo(Some(Box::new(undo)))
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(undo) = self.0.take() {
            undo();
        }
    }
}
