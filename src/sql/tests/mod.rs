//! Texts that are refused and texts that are allowed, one on a line; and that no text stops the process.

mod bounds;
mod honest;
mod hostile;
mod positions;
mod sqlite;

use super::{Allowed, Dialect, FunctionName, Refused, StatementKind, TableName};

fn tables(names: &[&str]) -> Vec<TableName> {
    names.iter().map(|name| TableName::new(name).unwrap()).collect()
}

/// What most tests allow: to read three tables. `secrets` is not among them.
fn reader() -> Allowed {
    Allowed::select_from(Dialect::PostgreSql, &tables(&["orders", "customers", "shop.items"]))
}

fn writer() -> Allowed {
    use StatementKind::{Delete, Insert, Select, Update};
    reader().statements(&[Select, Insert, Update, Delete])
}

/// The reason word, or `allowed`.
fn said(allowed: &Allowed, text: &str) -> &'static str {
    allowed.check(text).map_or_else(|refused| refused.reason(), |()| "allowed")
}

/// That every text is answered as the table says. All that are not are told at once.
fn answers(allowed: &Allowed, table: &[(&str, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .filter(|(expected, text)| said(allowed, text) != *expected)
        .map(|(expected, text)| format!("{text}\n    expected {expected}, said {:?}", allowed.check(text)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

#[test]
fn names_are_read_as_the_policy_writes_them() {
    for name in ["orders", "shop.orders", "a.b.c", "\"Orders\"", "shop.\"two words\"", "_x1"] {
        assert!(TableName::new(name).is_some(), "{name}");
        assert!(FunctionName::new(name).is_some(), "{name}");
    }
    let long = "a".repeat(64);
    for name in ["", ".", "a.", ".a", "a.b.c.d", "1a", "a b", "\"", "\"\"", "\"a", "\"a\"b", "a\"b\"", "ä", "a*", &long]
    {
        assert_eq!(TableName::new(name), None, "{name}");
    }
}

#[test]
fn names_are_folded_as_the_database_does() {
    let allowed =
        Allowed::select_from(Dialect::PostgreSql, &tables(&["Orders", "\"Mixed\"", "\"two words\"", "\"lower\""]));
    answers(
        &allowed,
        &[
            ("allowed", "SELECT 1 FROM orders"),
            ("allowed", "SELECT 1 FROM ORDERS"),
            ("allowed", "SELECT 1 FROM \"orders\""),
            ("table", "SELECT 1 FROM \"Orders\""),
            ("allowed", "SELECT 1 FROM \"Mixed\""),
            ("table", "SELECT 1 FROM Mixed"),
            ("table", "SELECT 1 FROM mixed"),
            ("allowed", "SELECT 1 FROM \"two words\""),
            ("allowed", "SELECT 1 FROM Lower"),
        ],
    );
}

/// PostgreSQL would cut it to 63 bytes, and so to another name.
#[test]
fn a_name_that_the_database_cuts_is_refused() {
    for (length, expected) in [(63, "allowed"), (64, "name")] {
        let name = "a".repeat(length);
        assert_eq!(said(&reader(), &format!("WITH {name} AS (SELECT 1) SELECT 1 FROM {name}")), expected);
        assert_eq!(said(&reader(), &format!("WITH \"{name}\" AS (SELECT 1) SELECT 1 FROM \"{name}\"")), expected);
    }
}

#[test]
fn a_schema_is_a_part_of_the_name() {
    answers(
        &reader(),
        &[
            ("allowed", "SELECT 1 FROM shop.items"),
            ("allowed", "SELECT 1 FROM SHOP.\"items\""),
            ("table", "SELECT 1 FROM items"),
            ("table", "SELECT 1 FROM public.orders"),
            ("table", "SELECT 1 FROM \"shop.items\""),
            ("table", "SELECT 1 FROM db.shop.items"),
        ],
    );
}

#[test]
fn functions_of_the_policy_are_allowed_by_their_whole_name() {
    let names = ["similarity", "shop.discount"].map(|name| FunctionName::new(name).unwrap());
    answers(
        &reader().functions(&names),
        &[
            ("allowed", "SELECT similarity(name, 'x') FROM customers"),
            ("allowed", "SELECT shop.Discount(total) FROM orders"),
            ("allowed", "SELECT lower(name) FROM customers"),
            ("function", "SELECT discount(total) FROM orders"),
            ("function", "SELECT public.similarity(name, 'x') FROM customers"),
            ("function", "SELECT shop.lower(name) FROM customers"),
            ("function", "SELECT pg_catalog.lower(name) FROM customers"),
        ],
    );
}

#[test]
fn each_kind_of_statement_is_allowed_by_itself() {
    use StatementKind::{Delete, Insert, Select, Update};
    let only = |kind| reader().statements(&[kind]);
    answers(
        &only(Insert),
        &[
            ("allowed", "INSERT INTO orders (id) VALUES (1)"),
            ("statement", "INSERT INTO orders (id) SELECT 1"),
            ("statement", "INSERT INTO orders (id) VALUES ((SELECT 1))"),
            ("statement", "INSERT INTO orders (id) VALUES (1) RETURNING id"),
            ("statement", "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2"),
            ("allowed", "INSERT INTO orders (id) VALUES (1) ON CONFLICT DO NOTHING"),
            ("statement", "SELECT 1 FROM orders"),
            ("statement", "UPDATE orders SET id = 1"),
            ("statement", "DELETE FROM orders"),
        ],
    );
    answers(
        &only(Update),
        &[
            ("allowed", "UPDATE orders SET total = 1 WHERE id = 1"),
            ("statement", "UPDATE orders SET total = 1 FROM customers"),
            ("statement", "UPDATE orders SET total = (SELECT 1)"),
            ("statement", "INSERT INTO orders (id) VALUES (1)"),
        ],
    );
    answers(
        &only(Delete),
        &[
            ("allowed", "DELETE FROM orders WHERE id = 1"),
            ("statement", "DELETE FROM orders USING customers"),
            ("statement", "DELETE FROM orders WHERE id IN (SELECT 1)"),
        ],
    );
    answers(&only(Select), &[("statement", "DELETE FROM orders"), ("allowed", "SELECT 1")]);
    answers(&reader().statements(&[]), &[("statement", "SELECT 1"), ("statement", "VALUES (1)")]);
}

#[test]
fn what_is_said_is_for_the_author_of_the_text() {
    let refused = |text: &str| reader().check(text).unwrap_err();
    assert_eq!(refused("DROP TABLE orders").to_string(), "only SELECT is allowed here");
    assert_eq!(
        refused("SELECT * FROM Public.secrets").to_string(),
        "the table `public.secrets` is not allowed here; a schema counts: `orders` and `public.orders` are two names"
    );
    assert_eq!(
        refused("SELECT PG_sleep(10)"),
        Refused::Function { name: "pg_sleep".to_owned() },
        "names are told as the database reads them"
    );
    let long = format!("SELECT '{}' FROM secrets", "x".repeat(10_000));
    assert!(refused(&long).to_string().len() < 200);
}
