//! What a reviewer is told.

use crate::policy::PolicySet;

/// What is told, line by line, of policies that say this of the server.
fn told(old: &str, new: &str) -> String {
    let changes = PolicySet::for_test(old).diff(&PolicySet::for_test(new));
    let line = |change: &super::Change| {
        let who: Vec<_> = change.who.iter().map(ToString::to_string).collect();
        let details = change.details.join("; ");
        format!("{} {} [{}] {details}", change.direction.word(), change.what, who.join(", ")).trim_end().to_owned()
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn grants() {
    insta::assert_snapshot!(told(
        "roles: { reader: { tools: [a, 'get_*'] }, operator: { inherits: [reader], tools: [b] } }",
        "roles: { reader: { tools: [c, get_x] }, operator: { inherits: [reader], tools: [b], prompts: ['*'] }, new: { methods: ['*'] } }",
    ));
    // What another rule says already is nothing new.
    assert_eq!(told("roles: { r: { tools: ['*'] } }", "roles: { r: { tools: ['*', a, 'b*'] } }"), "");
    assert_eq!(told("allowed_tools: [a]", "allowed_tools: [a]\nroles: { r: { tools: [a] } }"), "");
    assert_eq!(told("roles: { r: { tools: [a] } }", "deny: { tools: [b] }\nroles: { r: { tools: [a, b] } }"), "");
    // A caller without a credential has no part in what the others share.
    assert_eq!(
        told("allowed_tools: [a]", "allowed_tools: [a]\nroles: { anonymous: { tools: [a] } }"),
        "gained tool a [role anonymous]"
    );
}

#[test]
fn denials() {
    insta::assert_snapshot!(told(
        "deny: { tools: ['drop_*'] }\nroles: { reader: { tools: ['*'], deny: { tools: [a] } }, blind: { deny: { tools: [a] } }, idle: { tools: [x], deny: { prompts: [p] } } }",
        "deny: { resources: ['*'] }\nroles: { reader: { tools: ['*'], deny: { tools: [b] } }, blind: { deny: { tools: [c] } }, idle: { tools: [x], resources: [r] } }",
    ));
}

#[test]
fn answers_that_are_given_again() {
    let policy = |cache: &str| format!("roles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ timeout: 5s{cache} }} }}");
    let [none, own, longer, all] =
        ["", ", cache: { for: 5m }", ", cache: { for: 1h, per: principal }", ", cache: { for: 5m, per: everyone }"]
            .map(policy);
    for (old, new, expected) in [
        (&own, &own.replace("5m", "300s"), ""),
        (&none, &own, "changed tool a [role r] cache: none → 5m per principal"),
        (&own, &longer, "changed tool a [role r] cache: 5m per principal → 1h per principal"),
        (&own, &all, "widened tool a [role r] cache: 5m per principal → 5m per everyone"),
        (&none, &all, "widened tool a [role r] cache: none → 5m per everyone"),
        (&all, &none, "narrowed tool a [role r] cache: 5m per everyone → none"),
    ] {
        assert_eq!(told(old, new), expected);
    }
}

#[test]
fn redactions() {
    let policy = |redact: &str| format!("roles: {{ r: {{ tools: [a] }} }}\nredact: [{redact}]");
    let mask = "{ find: [email, card], in: results, then: mask }";
    let own = |pattern: &str| format!("{{ pattern: '{pattern}', name: own, in: results, then: mask }}");
    for (old, new, expected) in [
        (mask.to_owned(), mask.replace("email, card", "card, email"), ""),
        (
            mask.to_owned(),
            mask.replace(", card", ""),
            "widened the whole server [whoever may use it] redact: card in results: mask → nothing",
        ),
        (
            mask.to_owned(),
            mask.replace("mask", "block"),
            "narrowed the whole server [whoever may use it] redact: card in results: mask → block\nnarrowed the whole server [whoever may use it] redact: email in results: mask → block",
        ),
        (
            "{ find: [iban], in: results, then: alert }".to_owned(),
            "{ find: [jwt], in: results, then: alert }".to_owned(),
            "changed the whole server [whoever may use it] redact: iban in results: alert → nothing\nchanged the whole server [whoever may use it] redact: jwt in results: nothing → alert",
        ),
        // Nobody can say which of two patterns finds more.
        (
            own("ab"),
            own("abc"),
            "widened the whole server [whoever may use it] redact: own (ab) in results: mask → nothing\nnarrowed the whole server [whoever may use it] redact: own (abc) in results: nothing → mask",
        ),
    ] {
        assert_eq!(told(&policy(&old), &policy(&new)), expected);
    }
    assert_eq!(
        told(
            "roles: { r: { tools: [a] } }\ntools: { a: { redact: [{ find: [email], in: arguments, then: block }] } }",
            "roles: { r: { tools: [a] } }\ntools: { a: { mode: shadow, redact: [{ find: [email], in: arguments, then: block }] } }",
        ),
        "widened tool a [role r] redact: email in arguments: block → nothing"
    );
    // A condition judges what is left of arguments: masked, they may meet it.
    let condition = "arguments: { properties: { q: { maxLength: 9 } } }";
    let mask = "redact: [{ find: [email], in: arguments, then: mask }]";
    for (old, new, expected) in [
        (
            format!("roles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ {condition} }} }}"),
            format!("roles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ {condition}, {mask} }} }}"),
            "widened tool a [role r] redact: email in arguments: nothing → mask; conditions judge what is left",
        ),
        (
            format!("roles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ {condition} }} }}"),
            format!("{mask}\nroles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ {condition} }} }}"),
            "widened the whole server [whoever may use it] redact: email in arguments: nothing → mask; conditions judge what is left",
        ),
        (
            "roles: { r: { tools: [a] } }".to_owned(),
            format!("{mask}\nroles: {{ r: {{ tools: [a] }} }}"),
            "narrowed the whole server [whoever may use it] redact: email in arguments: nothing → mask",
        ),
    ] {
        assert_eq!(told(&old, &new), expected);
    }
}

#[test]
fn restrictions() {
    let role = |keys: &str| format!("roles: {{ r: {{ tools: [a]{keys} }} }}");
    for (old, new, expected) in [
        ("", ", networks: [10.0.0.0/8]", "narrowed tool a [role r] networks: from anywhere → 10.0.0.0/8"),
        (
            ", networks: [10.0.0.0/8]",
            ", networks: [10.1.0.0/16]",
            "narrowed tool a [role r] networks: 10.0.0.0/8 → 10.1.0.0/16",
        ),
        (
            ", networks: [10.1.0.0/16]",
            ", networks: [10.0.0.0/8]",
            "widened tool a [role r] networks: 10.1.0.0/16 → 10.0.0.0/8",
        ),
        (
            ", when: [{ days: [mon], from: '08:00', to: '18:00' }]",
            ", when: [{ days: [mon, tue], from: '08:00', to: '18:00' }]",
            "widened tool a [role r] when: mon 08:00-18:00 UTC → mon, tue 08:00-18:00 UTC",
        ),
        (
            ", when: [{ from: '08:00', to: '18:00', zone: Europe/Berlin }]",
            ", when: [{ from: '09:00', to: '17:00' }]",
            "widened tool a [role r] when: 08:00-18:00 Europe/Berlin → 09:00-17:00 UTC",
        ),
        (
            ", when: [{ until: 2027-01-01 }]",
            ", when: [{ until: 2026-12-01, days: [sat] }]",
            "narrowed tool a [role r] when: until 2027-01-01T00:00:00Z → sat UTC until 2026-12-01T00:00:00Z",
        ),
        (
            ", networks: [10.0.0.0/8]",
            ", mode: shadow, networks: [10.0.0.0/8]",
            "widened tool a [role r] networks: 10.0.0.0/8 → from anywhere",
        ),
    ] {
        assert_eq!(told(&role(old), &role(new)), expected);
    }
}

#[test]
fn settings_of_tools() {
    let tool = |keys: &str| format!("roles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ timeout: 5s{keys} }} }}");
    for (old, new, expected) in [
        (
            ", arguments: { properties: { m: { maximum: 10 } } }",
            "",
            "widened tool a [role r] arguments: a condition → none",
        ),
        ("", ", arguments: { required: [m] }", "narrowed tool a [role r] arguments: no condition → one"),
        (
            ", limits: [{ calls: 60, every: 1m, per: principal }, { in_flight: 4, per: tool }]",
            ", limits: [{ calls: 10, every: 10s, per: principal }, { in_flight: 8, per: tool }]",
            "widened tool a [role r] limits: in_flight 4 per tool → 8 per tool\nnarrowed tool a [role r] limits: calls 60 in 1m per principal → 10 in 10s per principal",
        ),
        (
            ", cost: 2, limits: [{ calls: 60, every: 1m, per: principal }]",
            ", cost: 1, limits: [{ calls: 60, burst: 6, every: 1m, per: principal }, { bytes: 1000, every: 1h, per: tool }]",
            "widened tool a [role r] cost: 2 → 1\nnarrowed tool a [role r] limits: calls 60 in 1m per principal → 60 in 1m, 6 at once per principal; limits: bytes unlimited → 1000 in 1h per tool",
        ),
        (
            ", limits: [{ in_flight: 4, per: tool }]",
            ", mode: shadow, limits: [{ in_flight: 4, per: tool }]",
            "widened tool a [role r] limits: in_flight 4 per tool → unlimited\nwidened tool a [role r] mode: enforce → shadow; what it refuses is only recorded",
        ),
    ] {
        assert_eq!(told(&tool(old), &tool(new)), expected);
    }
    for (old, new, expected) in [
        ("", ", scopes: [r:w]", "narrowed tool a [role r] scopes: none → r:w"),
        (", scopes: [r:w]", "", "widened tool a [role r] scopes: r:w → none"),
        (", scopes: [r:w]", ", scopes: [r:w, r:a]", "narrowed tool a [role r] scopes: r:w → r:a, r:w"),
        (", scopes: [r:w, r:a]", ", scopes: [r:a]", "widened tool a [role r] scopes: r:a, r:w → r:a"),
        (", scopes: [r:w]", ", scopes: [r:a]", "widened tool a [role r] scopes: r:w → r:a"),
        (", scopes: [r:w, r:a]", ", scopes: [r:a, r:w]", ""),
    ] {
        assert_eq!(told(&tool(old), &tool(new)), expected);
    }
    assert_eq!(told(&tool(""), &tool("").replace("5s", "9s")), "changed tool a [role r] timeout: 5s → 9s");
    let may_repeat = "changed tool a [role r] idempotent: false → true; a call that failed may be sent again";
    assert_eq!(told(&tool(""), &tool(", idempotent: true")), may_repeat);
    assert_eq!(told(&tool(", idempotent: true"), &tool("")), "changed tool a [role r] idempotent: true → false");
    let by_key = "changed tool a [role r] idempotent: true → by its key (x/key)";
    assert_eq!(told(&tool(", idempotent: true"), &tool(", idempotency_key: x/key")), by_key);
    // What nobody may call is no change of anybody's access.
    let nobody = |maximum: u32| {
        format!(
            "roles: {{ r: {{ tools: [b] }} }}\ntools: {{ a: {{ arguments: {{ properties: {{ m: {{ maximum: {maximum} }} }} }} }} }}"
        )
    };
    assert_eq!(told(&nobody(1), &nobody(2)), "");
    // A tool that loses its entry has what all others have.
    assert_eq!(
        told(
            "roles: { r: { tools: [a] } }\ntools: { a: { limits: [{ in_flight: 1, per: tool }] }, '*': { limits: [{ in_flight: 9, per: tool }] } }",
            "roles: { r: { tools: [a] } }\ntools: { '*': { limits: [{ in_flight: 9, per: tool }] } }",
        ),
        "widened tool a [role r] limits: in_flight 1 per tool → 9 per tool"
    );
}

#[test]
fn limits_of_a_tool() {
    let tool = |keys: &str| format!("roles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ timeout: 5s{keys} }} }}");
    for (old, new, expected) in [
        // As many calls in five seconds; but as many bytes in each of them as one call brings.
        (
            ", limits: [{ calls: 500, every: 5s, per: tool }, { bytes: 500, every: 5s, per: tool }]",
            ", limits: [{ calls: 100, every: 1s, per: tool }, { bytes: 100, every: 1s, per: tool }]",
            "widened tool a [role r] limits: bytes 500 in 5s per tool → 100 in 1s per tool\nnarrowed tool a [role r] limits: calls 500 in 5s per tool → 100 in 1s per tool",
        ),
        (
            ", limits: [{ calls: 90, every: 5s, per: tool }]",
            ", limits: [{ calls: 30, every: 2s, per: tool }]",
            "narrowed tool a [role r] limits: calls 90 in 5s per tool → 30 in 2s per tool",
        ),
        (
            ", limits: [{ calls: 89, every: 5s, per: tool }]",
            ", limits: [{ calls: 30, every: 2s, per: tool }]",
            "widened tool a [role r] limits: calls 89 in 5s per tool → 30 in 2s per tool",
        ),
    ] {
        assert_eq!(told(&tool(old), &tool(new)), expected);
    }
}

#[test]
fn conditions() {
    let policy = |schema: &str| format!("roles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ arguments: {schema} }} }}");
    let mut table = String::new();
    for (old, new) in [
        ("{ properties: { m: { maximum: 100 } } }", "{ properties: { m: { maximum: 1000 } } }"),
        ("{ properties: { m: { minimum: 1 } } }", "{ properties: { m: { minimum: 2, maximum: 9 } } }"),
        ("{ properties: { m: { minimum: 1, maximum: 9 } } }", "{ properties: { m: { maximum: 9 } } }"),
        ("{ properties: { t: { maxLength: 9 } } }", "{ properties: { t: { minLength: 1, maxLength: 9 } } }"),
        ("{ properties: { t: { maxLength: 9 } } }", "{ properties: { t: { type: string } } }"),
        ("{ properties: { e: { enum: [a, b] } } }", "{ properties: { e: { enum: [b] } } }"),
        ("{ properties: { e: { enum: [a, b] } } }", "{ properties: { e: { enum: [b, c] } } }"),
        ("{ properties: { e: { enum: [a, b] } } }", "{ properties: { e: { enum: [b, a] } } }"),
        ("{ required: [a, b] }", "{ required: [b] }"),
        ("{ properties: { m: { type: integer } } }", "{ properties: { m: { type: [number, string] } } }"),
        ("{ properties: { m: { type: number } } }", "{ properties: { m: { type: integer } } }"),
        ("{ properties: { m: { pattern: ^a } } }", "{ properties: { m: { pattern: ^b } } }"),
        ("{ required: [c], properties: { c: { claim: s } } }", "{ required: [c], properties: { c: { claim: t } } }"),
        ("{ required: [c], properties: { c: { claim: s } } }", "{ required: [c] }"),
        (
            "{ properties: { q: { sql: { tables: [t] } } } }",
            "{ properties: { q: { sql: { tables: [t], statements: [select, delete] } } } }",
        ),
        (
            "{ properties: { q: { sql: { tables: [t, u] } } } }",
            "{ properties: { q: { sql: { tables: [u], statements: [select] } } } }",
        ),
        (
            "{ properties: { a: true }, additionalProperties: false }",
            "{ properties: { a: true, b: { type: string } }, additionalProperties: false }",
        ),
        ("{ properties: { a: true } }", "{ properties: { a: true, b: { type: string } } }"),
        (
            "{ properties: { o: { properties: { k: { maxLength: 3 } } } } }",
            "{ properties: { o: { properties: { k: { maxLength: 2 } } } } }",
        ),
        (
            "{ properties: { l: { items: { maximum: 3 }, uniqueItems: true } } }",
            "{ properties: { l: { items: { maximum: 4 } } } }",
        ),
        ("{ anyOf: [{ required: [a] }] }", "{ anyOf: [{ required: [a] }, { required: [b] }] }"),
        (
            "{ properties: { m: { $ref: '#/$defs/d' } }, $defs: { d: { maximum: 1 } } }",
            "{ properties: { m: { $ref: '#/$defs/d' } }, $defs: { d: { maximum: 2 } } }",
        ),
        (
            "{ title: a, properties: { m: { description: x, maximum: 1 } } }",
            "{ title: b, properties: { m: { description: w, maximum: 1 } } }",
        ),
        (
            "{ properties: { m: { maximum: 18446744073709551614 } } }",
            "{ properties: { m: { maximum: 18446744073709551615 } } }",
        ),
    ] {
        let told = told(&policy(old), &policy(new)).replace('\n', "\n    ");
        table.extend([old, "\n", new, "\n    ", &told, "\n"]);
    }
    insta::assert_snapshot!(table);
}

#[test]
fn questions() {
    let roles = "roles: { r: { tools: [a] } }";
    let asks = |list: &str| format!("server_may: {list}\n{roles}");
    assert_eq!(
        told(roles, &asks("[roots, elicitation]")),
        "widened the whole server [whoever may use it] server_may: nothing → elicitation, roots"
    );
    assert_eq!(
        told(&asks("[roots, sampling]"), &asks("[roots]")),
        "narrowed the whole server [whoever may use it] server_may: sampling, roots → roots"
    );
}

#[test]
fn modes() {
    let roles = "roles: { r: { tools: [a] } }";
    assert_eq!(
        told(roles, &format!("mode: shadow\n{roles}")),
        "widened the whole server [whoever may use it] mode: enforce → shadow; what no rule grants is recorded and not refused\nwidened the whole server [whoever may use it] server_may: nothing → elicitation, sampling, roots"
    );
    assert_eq!(
        told(&format!("mode: shadow\n{roles}"), roles),
        "narrowed the whole server [whoever may use it] mode: shadow → enforce; what no rule grants is refused\nnarrowed the whole server [whoever may use it] server_may: elicitation, sampling, roots → nothing"
    );
}

#[test]
fn limits_of_the_server() {
    let limits = |list: &str| format!("limits: [{list}]\nroles: {{ r: {{ tools: [a] }} }}");
    let (by_all, by_each) = ("{ calls: 9, every: 1s, per: server }", "{ calls: 9, every: 1s, per: principal }");
    assert_eq!(
        told(&limits(by_all), &limits(by_each)),
        "widened the whole server [whoever may use it] limits: calls 9 in 1s per server → 9 in 1s per principal"
    );
    assert_eq!(
        told(&limits(by_each), &limits(by_all)),
        "narrowed the whole server [whoever may use it] limits: calls 9 in 1s per principal → 9 in 1s per server"
    );
}

#[test]
fn what_the_server_is_told() {
    let roles = "roles: { r: { tools: [a] } }";
    let says = |header: &str| format!("upstream_headers: {{ x-a: {header} }}\n{roles}");
    for (old, new, expected) in [
        (roles.to_owned(), says("{ claim: a }"), "changed"),
        (says("{ claim: a }"), roles.to_owned(), "widened"),
        (says("{ claim: a }"), says("{ claim: b }"), "widened"),
        (says("{ claim: a }"), says("{ claim: a, optional: true }"), "widened"),
        (says("{ claim: a, optional: true }"), says("{ claim: a }"), "narrowed"),
    ] {
        let told = told(&old, &new);
        assert!(told.starts_with(&format!("{expected} the whole server")), "{old} {new}: {told}");
    }
}
