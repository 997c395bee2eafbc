//! Why there are no figures: asked wrongly, or could not be done. A bad figure is a figure, not this.

/// What kept the runner from answering.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The command line was not understood; says which part.
    Usage(String),
    /// Something that was needed is not there or failed; says what, and what to do.
    Undone(String),
}
