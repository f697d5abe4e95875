//! What kinds of problems there are, each with an id in words that does not change, and one line of what it is about.
//!
//! Not for the wording of one problem at one place; that is said where it is found.

/// One table for the type, its ids and its descriptions, so that none can be without the others.
macro_rules! codes {
    ($($code:ident $id:literal $about:literal;)*) => {
        /// The kind of a problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $about] $code,)*
        }

        impl Code {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The id in words. It never changes its meaning: people put it into the settings of their CI.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$code => $id,)*
                }
            }

            /// One line of what it is about.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$code => $about,)*
                }
            }
        }
    };
}

codes! {
    // Any file.
    Unreadable "unreadable" "A file or folder cannot be read.";
    NotUtf8 "not-utf8" "A file is not UTF-8 text.";
    EmptyFile "empty-file" "A file says nothing.";
    TooLarge "too-large" "A file, a folder or what it grants is larger than any that was meant.";
    TooDeep "too-deep" "Lists and mappings, or roles, lie deeper within each other than any that were meant.";
    InvisibleCharacter "invisible-character" "A character that a reviewer cannot see, or that reorders the text.";
    InvalidYaml "invalid-yaml" "A file is not YAML.";
    InvalidJson "invalid-json" "A file is not JSON, or not in one reading.";
    SeveralDocuments "several-documents" "A file holds more than one YAML document.";
    YamlAlias "yaml-alias" "A YAML alias: what is granted stands elsewhere.";
    YamlAnchor "yaml-anchor" "A YAML anchor, to be referred to from elsewhere.";
    YamlTag "yaml-tag" "A YAML tag, which would convert or include something.";
    YamlMergeKey "yaml-merge-key" "A YAML merge key: what is granted stands elsewhere.";
    DuplicateKey "duplicate-key" "A key stands twice in one mapping.";
    UnknownKey "unknown-key" "A key that means nothing here.";
    MissingKey "missing-key" "A key that must be there is not.";
    MissingValue "missing-value" "A key or list entry without a value.";
    WrongType "wrong-type" "A value of another kind than is expected here.";
    UnquotedScalar "unquoted-scalar" "A text without quotes that could be read as a number or a truth value.";
    EmptyList "empty-list" "A list without entries, which some would read as `none` and some as `all`.";
    DuplicateName "duplicate-name" "A name stands twice in one list.";
    NumberOutOfRange "number-out-of-range" "A number that is too small or too large.";
    InvalidDuration "invalid-duration" "A span of time without a known unit, or outside of its bounds.";
    UnknownFileKind "unknown-file-kind" "A file that is neither a policy file nor a principals file.";
    MixedFile "mixed-file" "Policy and keys in one file.";
    NoPolicy "no-policy" "There is nothing that says who may do what.";

    // Names and grants.
    InvalidName "invalid-name" "A name that is empty, too long, or begins or ends with a space.";
    InvalidRoleName "invalid-role-name" "A name that a role cannot have.";
    ConfusableName "confusable-name" "A name that looks like another one.";
    UnusualName "unusual-name" "A name that tools do not usually have.";
    SeveralWildcards "several-wildcards" "A pattern with more than one `*`.";
    OddPattern "odd-pattern" "A pattern whose `*` stands inside of a word.";
    ImpossiblePattern "impossible-pattern" "A pattern that can never match.";
    PatternInSettings "pattern-in-settings" "A pattern where one tool must be named.";
    GrantsEveryTool "grants-every-tool" "A grant of every tool, also of those that the server adds later.";
    GrantsNothing "grants-nothing" "A role or file that grants nothing.";
    DeniedGrant "denied-grant" "A grant of what is denied.";
    ShadowedGrant "shadowed-grant" "A grant that another one of the same role makes already.";
    UngrantableMethod "ungrantable-method" "A method that is not granted by its name.";
    DuplicateRole "duplicate-role" "A role that is defined twice.";
    UnknownRole "unknown-role" "A role that no policy file defines.";
    UnheldRole "unheld-role" "A role that nobody holds.";
    InheritanceCycle "inheritance-cycle" "Roles that inherit each other in a circle.";
    RepeatedInheritance "repeated-inheritance" "A role that is inherited twice.";
    UnknownQuestion "unknown-question" "Something that no server can ask of a client.";

    InvalidWindow "invalid-window" "A span of time that says no time, or one that never comes.";
    WindowOver "window-over" "Spans of time that are all over.";
    InvalidNetwork "invalid-network" "A text that is no network.";
    UnknownMode "unknown-mode" "A mode that there is not, or that says nothing where it stands.";
    IneffectiveMode "ineffective-mode" "A mode of something that refuses nothing.";

    // Settings of tools.
    DuplicateTool "duplicate-tool" "Two entries with settings for the same tool.";
    NoSettings "no-settings" "An entry for a tool without settings.";
    UnheldScope "unheld-scope" "A scope that no credential can have.";
    InvalidScope "invalid-scope" "A text that is not one scope of a token.";
    UnreachableTool "unreachable-tool" "Settings for a tool that nobody may call.";
    IncompleteLimit "incomplete-limit" "A limit that does not say all it must, or says two things.";
    IncompleteRedaction "incomplete-redaction" "An entry of `redact` that does not say what to find or what becomes of it.";
    UnknownDetector "unknown-detector" "A detector that does not exist.";
    InvalidPattern "invalid-pattern" "A pattern that is no regular expression, finds nothing in particular, or has no end.";
    UnnamedCache "unnamed-cache" "Answers of all tools without an entry of their own would be given again.";
    UnknownScope "unknown-scope" "A limit that is counted per something it cannot be counted per.";
    IneffectiveLimit "ineffective-limit" "A limit that is never reached: another one always is before.";
    ImpossibleCost "impossible-cost" "A call that costs more than a limit ever lets through.";

    // Pinned definitions of tools.
    EditedPin "edited-pin" "A pinned definition that is not the one its hash is of.";
    MissingPin "missing-pin" "Pinning is enforced for a server of which nothing is pinned.";
    SeveralPinnings "several-pinnings" "Two files say how the pins of one server count.";

    // Policies beside pinned definitions.
    UnknownTool "unknown-tool" "A tool that the lock does not have.";
    UnknownPrompt "unknown-prompt" "A prompt that the lock does not have.";
    ExcludedServer "excluded-server" "A server of a view that speaks no revision of some of the view's clients.";
    UnmatchedPattern "unmatched-pattern" "A pattern that matches no tool or prompt of the lock.";
    DestructiveByPattern "destructive-by-pattern" "A tool that destroys something and is granted by a pattern.";
    CachedEffect "cached-effect" "Answers are given again of a tool that changes something.";
    UnknownArgument "unknown-argument" "An argument that the tool does not have.";

    // Conditions on arguments.
    InvalidSchema "invalid-schema" "A condition on arguments that is no JSON Schema 2020-12.";
    UnknownKeyword "unknown-keyword" "A keyword that JSON Schema 2020-12 does not have, and that nobody would enforce.";
    OptionalClaim "optional-claim" "A condition on a property that a call may leave out.";
    MisplacedClaim "misplaced-claim" "`claim` or `sql` where it says nothing.";
    ImpossibleCondition "impossible-condition" "A condition that no call can meet.";
    UnusableArgument "unusable-argument" "An argument, or a value of it, that no call can have.";
    IneffectiveKeyword "ineffective-keyword" "A keyword that says nothing of values of the type that there is.";
    InvalidSql "invalid-sql" "What an SQL text may do, said in a way that means nothing.";

    // Keys and callers.
    SecretInFile "secret-in-file" "A secret itself, where only its hash may stand, or the place where it is kept.";
    InvalidKeyId "invalid-key-id" "An id that a key cannot have.";
    InvalidCertificateName "invalid-certificate-name" "A name in a certificate that nobody can go by.";
    DuplicateKeyId "duplicate-key-id" "Two keys with the same id.";
    InvalidKeyHash "invalid-key-hash" "What should be the hash of a key is none.";
    WeakKey "weak-key" "The hash of a key that everyone knows, or a placeholder.";
    DuplicateKeyHash "duplicate-key-hash" "Two entries with the same hash.";
    UselessKey "useless-key" "A key that opens nothing.";
    KeyNeverExpires "key-never-expires" "A key without an end.";
    LongLivedKey "long-lived-key" "A key that is valid for more than 400 days.";
    ExpiredKey "expired-key" "A key that is no longer valid.";
    ExpiringKey "expiring-key" "A key that ends soon, and nothing that replaces it.";
    InvalidPepper "invalid-pepper" "A pepper that is none, or cannot be called so.";
    UnknownPepper "unknown-pepper" "A hash with a pepper that the deployment does not have.";
    NoClientCa "no-client-ca" "Certificates are accepted, and clients are not asked for any.";
    InvalidDate "invalid-date" "A date that is none.";
    NobodyAdmitted "nobody-admitted" "A policy that lets nobody in.";
    InvalidIssuer "invalid-issuer" "Something about an issuer of tokens that cannot be so.";
    DuplicateIssuer "duplicate-issuer" "Two entries for the same issuer of tokens.";
    InvalidAlgorithm "invalid-algorithm" "An algorithm that no token may be signed with.";
    AnonymousOnNetwork "anonymous-on-network" "Callers without a credential are let in from the network.";
    NoPublicUrl "no-public-url" "Tokens are accepted from the network, and nothing says where clients reach the gate.";
    AnonymousWithoutRole "anonymous-without-role" "Callers without a credential are let in but given nothing.";

    InvalidIdempotencyKey "invalid-idempotency-key" "A text that cannot name a key in `_meta`, or a key where none is needed.";

    // Cases.
    InvalidCase "invalid-case" "A case that does not say who asks for what, or what is expected.";
    UnknownKeyId "unknown-key-id" "An id that no key has.";
    NoCases "no-cases" "There is nothing to try a policy with.";

    // The audit log.
    LocalCheckpoints "local-checkpoints" "An audit log whose checkpoints nothing takes away.";

    // Servers and addresses.
    MissingServer "missing-server" "There is no server, or nothing says which one or where it is.";
    SeveralServers "several-servers" "Several servers, and nothing says which one is meant.";
    ServerWithoutPolicy "server-without-policy" "A server that no policy file is for.";
    UnknownServer "unknown-server" "A server that the configuration does not have.";
    InvalidServerName "invalid-server-name" "A name that a server cannot have.";
    InvalidUrl "invalid-url" "A text that is not the URL of an MCP server, or of the gate.";
    InvalidAddress "invalid-address" "A text that is not an address with a port.";
    InvalidHost "invalid-host" "A text that is not a host or origin.";
    DuplicateHost "duplicate-host" "A host that two servers have.";
    InvalidHeader "invalid-header" "A text that is not the name of a header.";
    ReservedHeader "reserved-header" "A header that neither callers nor files may set towards a server.";
    InvalidCredential "invalid-credential" "A way into a server that says too little, or two things.";
    TokenPassthrough "token-passthrough" "A server is handed the very tokens of its callers.";
    NoTokenToShow "no-token-to-show" "Callers without a token may use a server that takes callers' tokens only.";
    UnusedCache "unused-cache" "Answers that would be given again, of a server that sees each caller's own token.";
    UnusedCatalogue "unused-catalogue" "A catalogue for each caller, of a server that no view shows.";
    InvalidCertificate "invalid-certificate" "A certificate, key or authority that TLS cannot be served with.";
    ExpiringCertificate "expiring-certificate" "A certificate that ends soon.";
    AdminOnNetwork "admin-on-network" "Metrics and probes can be reached from other machines.";
}
