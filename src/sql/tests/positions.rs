//! A forbidden table is seen wherever a query can stand. Each place is also tried with an allowed table, so that a
//! place that the walk refuses altogether would show.

use super::{answers, reader, writer};

/// `{}` is a query of one column and one row.
const READS: &[&str] = &[
    "{}",
    "({})",
    "SELECT ({})",
    "SELECT ({}) + 1 AS x FROM orders",
    "SELECT 1 + 2 + 3 * (4 - ({})) FROM orders",
    "SELECT -({})",
    "SELECT ({})::int",
    "SELECT DISTINCT ON (({})) id FROM orders",
    "SELECT lower(({}))",
    "SELECT count(DISTINCT ({})) FROM orders",
    "SELECT string_agg(name, ',' ORDER BY ({})) FROM customers",
    "SELECT count(*) FILTER (WHERE ({}) = 1) FROM orders",
    "SELECT mode() WITHIN GROUP (ORDER BY ({})) FROM orders",
    "SELECT sum(total) OVER (PARTITION BY ({})) FROM orders",
    "SELECT sum(total) OVER (ORDER BY ({})) FROM orders",
    "SELECT sum(total) OVER (ROWS BETWEEN ({}) PRECEDING AND CURRENT ROW) FROM orders",
    "SELECT sum(total) OVER (ROWS BETWEEN CURRENT ROW AND ({}) FOLLOWING) FROM orders",
    "SELECT sum(total) OVER w FROM orders WINDOW w AS (PARTITION BY ({}))",
    "SELECT CASE WHEN ({}) = 1 THEN 1 END",
    "SELECT CASE WHEN true THEN ({}) END",
    "SELECT CASE WHEN true THEN 1 ELSE ({}) END",
    "SELECT CASE ({}) WHEN 1 THEN 1 END",
    "SELECT ARRAY({})",
    "SELECT ARRAY[({})]",
    "SELECT tags[({})] FROM customers",
    "SELECT tags[({}):2] FROM customers",
    "SELECT tags[1:({})] FROM customers",
    "SELECT extract(year FROM ({}))",
    "SELECT ({}) AT TIME ZONE 'UTC'",
    "SELECT now() AT TIME ZONE ({})",
    "SELECT position('x' IN ({}))",
    "SELECT substring(({}) FROM 1 FOR 2)",
    "SELECT substring('abc' FROM ({}))",
    "SELECT substring('abc' FROM 1 FOR ({}))",
    "SELECT trim(BOTH ({}) FROM 'x')",
    "SELECT trim(({}))",
    "SELECT overlay('abc' PLACING ({}) FROM 1)",
    "SELECT floor(({}))",
    "SELECT ceil(({}))",
    "SELECT ({}) COLLATE \"C\"",
    "SELECT (1, ({})) IN ((1, 2))",
    "SELECT ({}) IS NULL",
    "SELECT ({}) IS NOT TRUE",
    "SELECT 1 IS DISTINCT FROM ({})",
    "SELECT * FROM ({}) x",
    "SELECT * FROM orders, ({}) x",
    "SELECT * FROM orders o, LATERAL ({}) x",
    "SELECT * FROM orders JOIN ({}) x ON true",
    "SELECT * FROM orders JOIN customers ON orders.id = ({})",
    "SELECT * FROM orders LEFT JOIN LATERAL ({}) x ON true",
    "SELECT * FROM (orders CROSS JOIN ({}) x)",
    "SELECT * FROM generate_series(1, ({}))",
    "SELECT * FROM unnest(ARRAY({}))",
    "SELECT * FROM orders, LATERAL generate_series(1, ({})) g",
    "SELECT * FROM (VALUES (({}))) v",
    "SELECT 1 FROM orders WHERE id = ({})",
    "SELECT 1 FROM orders WHERE id IN ({})",
    "SELECT 1 FROM orders WHERE id NOT IN (1, ({}))",
    "SELECT 1 FROM orders WHERE ({}) IN (1)",
    "SELECT 1 FROM orders WHERE EXISTS ({})",
    "SELECT 1 FROM orders WHERE NOT EXISTS ({})",
    "SELECT 1 FROM orders WHERE id = ANY ({})",
    "SELECT 1 FROM orders WHERE id > ALL ({})",
    "SELECT 1 FROM orders WHERE id BETWEEN ({}) AND 5",
    "SELECT 1 FROM orders WHERE id BETWEEN 1 AND ({})",
    "SELECT 1 FROM orders WHERE name LIKE ({})",
    "SELECT 1 FROM orders WHERE ({}) LIKE 'x'",
    "SELECT 1 FROM orders WHERE name ILIKE 'x' AND id = 1 OR id = ({})",
    "SELECT 1 FROM orders GROUP BY ({})",
    "SELECT 1 FROM orders GROUP BY ROLLUP (abs(({})))",
    "SELECT 1 FROM orders GROUP BY GROUPING SETS ((id, ({})))",
    "SELECT 1 FROM orders GROUP BY id HAVING count(*) > ({})",
    "SELECT 1 FROM orders ORDER BY ({})",
    "SELECT 1 FROM orders LIMIT ({})",
    "SELECT 1 FROM orders OFFSET ({})",
    "WITH x AS ({}) SELECT 1",
    "WITH x AS (SELECT 1), y AS ({}) SELECT 1 FROM orders",
    "WITH RECURSIVE x (i) AS (SELECT 1 UNION ALL ({})) SELECT 1",
    "SELECT 1 UNION {}",
    "SELECT 1 UNION ALL ({})",
    "({}) INTERSECT SELECT 1",
    "SELECT 1 EXCEPT SELECT ({})",
    "VALUES (1), (({}))",
    "SELECT (SELECT (SELECT (SELECT ({}))))",
];

const WRITES: &[&str] = &[
    "INSERT INTO orders {}",
    "INSERT INTO orders VALUES (({}))",
    "INSERT INTO orders VALUES (1) RETURNING ({})",
    "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET id = ({})",
    "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 1 WHERE orders.id = ({})",
    "UPDATE orders SET id = ({})",
    "UPDATE orders SET (id) = ({})",
    "UPDATE orders SET id = 1 FROM ({}) x",
    "UPDATE orders SET id = 1 WHERE id = ({})",
    "UPDATE orders SET id = 1 RETURNING ({})",
    "DELETE FROM orders USING ({}) x",
    "DELETE FROM orders WHERE id = ({})",
    "DELETE FROM orders RETURNING ({})",
];

/// Each place, filled with each of these.
fn filled(places: &[&str], fillings: &[&str]) -> Vec<String> {
    places.iter().flat_map(|place| fillings.iter().map(|filling| place.replace("{}", filling))).collect()
}

fn expect(texts: &[String], expected: &'static str) -> Vec<(&'static str, &'static str)> {
    texts.iter().map(|text| (expected, &*text.clone().leak())).collect()
}

const ALLOWED: &[&str] = &["SELECT max(id) FROM orders", "SELECT id FROM orders AS secrets WHERE id = 1"];
const FORBIDDEN: &[&str] = &[
    "SELECT max(id) FROM secrets",
    "SELECT id FROM orders WHERE id = (SELECT id FROM secrets)",
    "SELECT orders.id FROM orders JOIN public.secrets ON true",
];

#[test]
fn a_forbidden_table_is_seen_wherever_a_query_can_stand() {
    answers(&reader(), &expect(&filled(READS, FORBIDDEN), "table"));
    answers(&writer(), &expect(&filled(WRITES, FORBIDDEN), "table"));
}

#[test]
fn an_allowed_table_is_allowed_there() {
    answers(&reader(), &expect(&filled(READS, ALLOWED), "allowed"));
    answers(&writer(), &expect(&filled(WRITES, ALLOWED), "allowed"));
}

#[test]
fn a_lock_a_write_or_a_function_is_seen_there() {
    answers(&reader(), &expect(&filled(READS, &["SELECT pg_sleep(1)"]), "function"));
    let places: Vec<_> = READS.iter().copied().filter(|place| place.contains("({})")).collect();
    answers(&reader(), &expect(&filled(&places, &["SELECT 1 FROM orders FOR UPDATE"]), "construct"));
    answers(
        &reader(),
        &expect(&filled(&places, &["WITH w AS (DELETE FROM orders RETURNING id) SELECT 1 FROM w"]), "construct"),
    );
}
