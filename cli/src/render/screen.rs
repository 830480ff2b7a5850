//! What is known of the terminal that text goes to.

use super::paint::Paint;

/// The least width that text is wrapped at, in characters.
const NARROWEST: usize = 20;

/// How text may look where it is read.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    /// Its colours.
    pub(crate) paint: Paint,
    /// How many characters a line holds; `None` where no person looks at lines, as in a pipe or a file.
    pub(crate) width: Option<usize>,
}

impl Screen {
    /// Neither colours nor an end of the line.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { paint: Paint { on: false }, width: None };

    /// How much text stands beside an indent of this many characters.
    pub(crate) fn beside(self, indent: usize) -> usize {
        self.width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(NARROWEST))
    }
}
