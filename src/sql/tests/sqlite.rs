//! The same for SQLite, where it differs.

use super::{Allowed, Dialect, StatementKind, answers, tables};

fn reader() -> Allowed {
    Allowed::select_from(Dialect::Sqlite, &tables(&["orders", "Customers", "main.items"]))
}

#[test]
fn hostile() {
    answers(
        &reader(),
        &[
            ("table", "SELECT * FROM secrets"),
            ("table", "SELECT * FROM sqlite_master"),
            ("table", "SELECT * FROM sqlite_schema"),
            ("table", "SELECT * FROM temp.orders"),
            ("table", "SELECT * FROM main.orders"),
            ("table", "SELECT * FROM pragma_database_list"),
            ("table", "SELECT * FROM dbstat"),
            ("function", "SELECT * FROM pragma_table_info('secrets')"),
            ("function", "SELECT load_extension('evil')"),
            ("function", "SELECT readfile('/etc/passwd')"),
            ("function", "SELECT writefile('/tmp/x', 'y')"),
            ("function", "SELECT fts3_tokenizer('x')"),
            ("function", "SELECT randomblob(1000000000)"),
            ("function", "SELECT zeroblob(1000000000)"),
            ("function", "SELECT sqlite_version()"),
            ("function", "SELECT pg_sleep(1)"),
            ("statement", "ATTACH DATABASE '/tmp/x' AS x"),
            ("syntax", "PRAGMA table_info(secrets)"),
            ("statement", "VACUUM"),
            ("statement", "REPLACE INTO orders VALUES (1)"),
            ("statement", "EXPLAIN QUERY PLAN SELECT 1"),
            ("operator", "SELECT * FROM orders WHERE orders MATCH 'x'"),
            ("operator", "SELECT * FROM orders WHERE name REGEXP 'x'"),
            ("character", "SELECT [id] FROM orders"),
            ("character", "SELECT * FROM `secrets`"),
            ("literal", "SELECT * FROM 'secrets'"),
            ("comment", "SELECT 1 -- x"),
            ("comment", "SELECT 1 /* x"),
            ("table", "WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets"),
        ],
    );
    answers(
        &reader().statements(&[StatementKind::Select, StatementKind::Insert, StatementKind::Update]),
        &[
            ("construct", "REPLACE INTO orders VALUES (1)"),
            ("construct", "INSERT OR REPLACE INTO orders VALUES (1)"),
            ("construct", "UPDATE OR REPLACE orders SET id = 1"),
            ("allowed", "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET id = excluded.id"),
        ],
    );
}

#[test]
fn honest() {
    answers(
        &reader(),
        &[
            ("allowed", "SELECT * FROM ORDERS"),
            ("allowed", "SELECT * FROM \"Orders\" JOIN customers USING (id)"),
            ("allowed", "SELECT * FROM Main.Items"),
            ("allowed", "SELECT strftime('%Y-%m', created_at), total(amount) FROM orders GROUP BY 1"),
            ("allowed", "SELECT datetime('now', '-7 days'), ifnull(a, 0), printf('%.2f', total) FROM orders"),
            ("allowed", "SELECT json_extract(data, '$.a'), data ->> '$.b' FROM orders"),
            ("allowed", "SELECT value FROM orders, json_each(orders.data)"),
            ("allowed", "SELECT id FROM orders WHERE id = ?1 OR id = ? OR name = :name"),
            ("allowed", "SELECT group_concat(name, ', ') FROM customers WHERE name GLOB 'a*' LIMIT 10, 5"),
            ("allowed", "SELECT name, CAST(total AS INTEGER), typeof(total) FROM orders"),
            ("allowed", "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9) SELECT i FROM n"),
            ("allowed", "SELECT sum(total) OVER (ORDER BY id) FROM orders WHERE id NOTNULL AND x IS NOT NULL"),
        ],
    );
}
