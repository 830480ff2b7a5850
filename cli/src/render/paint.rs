//! Colours, on terminals that want them.

/// Paints, or leaves as it is.
#[derive(Clone, Copy)]
pub(crate) struct Paint {
    /// Whether to paint.
    pub(crate) on: bool,
}

impl Paint {
    /// A state in its colour.
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

    /// What matters most.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What matters least.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What is well.
    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What is not.
    pub(crate) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
