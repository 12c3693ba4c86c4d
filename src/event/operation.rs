//! What a call asked for, by families: Azure writes dozens of names and adds to them.

/// A family of operations; the number is stored and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Operation {
    /// No row that names an operation has been seen.
    #[default]
    Untold = 0,
    /// Chat completions.
    Chat = 1,
    /// The Responses API.
    Responses = 2,
    /// Completions without roles.
    Completions = 3,
    /// Embeddings.
    Embeddings = 4,
    /// Images and video.
    Images = 5,
    /// Speech and transcription.
    Audio = 6,
    /// Realtime and voice sessions.
    Realtime = 7,
    /// Assistants: threads and runs.
    Assistants = 8,
    /// Anthropic's Messages API.
    Messages = 9,
    /// Files, uploads, batches and fine-tuning.
    Files = 10,
    /// Listings of models, deployments and the like.
    Listing = 11,
    /// Anything else.
    Other = 12,
}

/// Parts of names in lower case, the first that occurs decides.
const WORDS: [(&str, Operation); 29] = [
    ("chat", Operation::Chat),
    ("response", Operation::Responses),
    ("realtime", Operation::Realtime),
    ("voice", Operation::Realtime),
    ("thread", Operation::Assistants),
    ("assistant", Operation::Assistants),
    ("run", Operation::Assistants),
    ("embedding", Operation::Embeddings),
    ("image", Operation::Images),
    ("video", Operation::Images),
    ("speech", Operation::Audio),
    ("audio", Operation::Audio),
    ("transcri", Operation::Audio),
    ("translat", Operation::Audio),
    ("message", Operation::Messages),
    ("finetun", Operation::Files),
    ("fine_tun", Operation::Files),
    ("file", Operation::Files),
    ("upload", Operation::Files),
    ("batch", Operation::Files),
    ("vector", Operation::Files),
    ("completion", Operation::Completions),
    ("list", Operation::Listing),
    ("_get", Operation::Listing),
    ("get_", Operation::Listing),
    ("models", Operation::Listing),
    ("projects", Operation::Listing),
    ("evaluator", Operation::Listing),
    ("deployments", Operation::Listing),
];

impl Operation {
    const ALL: [Self; 13] = [
        Self::Untold,
        Self::Chat,
        Self::Responses,
        Self::Completions,
        Self::Embeddings,
        Self::Images,
        Self::Audio,
        Self::Realtime,
        Self::Assistants,
        Self::Messages,
        Self::Files,
        Self::Listing,
        Self::Other,
    ];

    /// The family of an operation as Azure names it, such as `ChatCompletions_Create`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name.trim().is_empty() {
            return Self::Untold;
        }
        let name = name.to_ascii_lowercase();
        let found = WORDS.iter().find(|(word, _)| name.contains(word));
        found.map_or(Self::Other, |(_, family)| *family)
    }

    /// True for what keeps something for its caller: threads, files, responses.
    #[must_use]
    pub const fn is_store(self) -> bool {
        matches!(self, Self::Assistants | Self::Files | Self::Responses)
    }

    /// What two rows of one call say together: the more definite one.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Untold, told) | (told, Self::Untold) => told,
            (a, b) => a.min(b),
        }
    }

    /// The family stored as `number`.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// As it is shown; empty when nothing was told.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Untold => "",
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Realtime => "realtime",
            Self::Assistants => "assistants",
            Self::Messages => "messages",
            Self::Files => "files",
            Self::Listing => "listing",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_azure_writes_have_a_family() {
        for (name, family) in [
            ("ChatCompletions_Create", Operation::Chat),
            ("create_response", Operation::Responses),
            ("Create_Thread", Operation::Assistants),
            ("Models_List", Operation::Listing),
            ("Projects_Wildcard_Get", Operation::Listing),
            ("Evaluators_ListLatestVersions", Operation::Listing),
            ("Completions_Create", Operation::Completions),
            ("Embeddings_Create", Operation::Embeddings),
            ("AudioTranscriptions_Create", Operation::Audio),
            ("Messages_Create", Operation::Messages),
            ("SomethingNew", Operation::Other),
            (" ", Operation::Untold),
        ] {
            assert_eq!(Operation::of(name), family, "{name}");
        }
    }

    #[test]
    fn numbers_and_order_hold() {
        for (number, family) in (0..).zip(Operation::ALL) {
            assert_eq!((family as u8, Operation::from_number(number)), (number, family));
        }
        assert_eq!(Operation::from_number(200), Operation::Untold);
        assert_eq!(Operation::Untold.with(Operation::Other), Operation::Other);
        assert_eq!(Operation::Other.with(Operation::Chat), Operation::Chat);
    }
}
