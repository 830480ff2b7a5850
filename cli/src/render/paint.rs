//! Colours, on terminals that want them.

/// Paints, or leaves as it is.
#[derive(Clone, Copy)]
pub(crate) struct Paint {
    /// Whether to paint.
    pub(crate) on: bool,
}

impl Paint {
    /// A state: green once deployed, red where something failed, magenta where it ended without a deployment, cyan from the grant on,
    /// yellow before it.
    pub(crate) fn state(self, state: &str, text: &str) -> String {
        let code = match state {
            "succeeded" => "32",
            "failed" | "error" => "31",
            "rejected" | "expired" | "cancelled" => "35",
            "granted" | "deploying" => "36",
            _ => "33",
        };
        self.with(code, text)
    }

    /// Bold, for ids and names that one looks for.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Faint, for labels, headers and clocks.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Green, for a result that is as it should be.
    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Bold red, for a result that is not.
    pub(crate) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
