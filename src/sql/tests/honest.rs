//! Queries that people and models write, all of which must pass.

use super::{answers, reader, writer};

const QUERIES: &[&str] = &[
    "SELECT 1",
    "select * from orders;",
    "SELECT count(*) FROM orders",
    "SELECT o.id, o.total FROM orders o WHERE o.total > 100 ORDER BY o.total DESC LIMIT 10",
    "SELECT o.*, c.name FROM orders AS o JOIN customers AS c ON c.id = o.customer_id",
    "SELECT c.name, sum(o.total) AS revenue FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.name HAVING sum(o.total) > 1000 ORDER BY revenue DESC NULLS LAST",
    "SELECT date_trunc('month', created_at) AS month, count(*) FROM orders GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('month', created_at)::date AS month, avg(total)::numeric(10,2) FROM orders GROUP BY 1",
    "SELECT * FROM orders WHERE created_at >= now() - INTERVAL '30 days'",
    "SELECT * FROM orders WHERE created_at BETWEEN DATE '2026-01-01' AND DATE '2026-12-31'",
    "SELECT extract(year FROM created_at) AS y, extract('dow' FROM created_at) FROM orders",
    "SELECT created_at AT TIME ZONE 'UTC' FROM orders WHERE created_at > '2026-01-01'::timestamptz",
    "SELECT DISTINCT status FROM orders",
    "SELECT DISTINCT ON (customer_id) customer_id, id FROM orders ORDER BY customer_id, created_at DESC",
    "SELECT count(DISTINCT customer_id) FROM orders WHERE status IN ('paid', 'sent')",
    "SELECT count(*) FILTER (WHERE status = 'paid') AS paid, count(*) AS all_of_them FROM orders",
    "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY total) FROM orders",
    "SELECT string_agg(DISTINCT name, ', ' ORDER BY name) FROM customers",
    "SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY created_at) AS nth FROM orders",
    "SELECT id, sum(total) OVER (ORDER BY created_at ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM orders",
    "SELECT id, lag(total, 1) OVER w, lead(total) OVER w FROM orders WINDOW w AS (ORDER BY created_at)",
    "WITH monthly AS (SELECT date_trunc('month', created_at) AS m, sum(total) AS t FROM orders GROUP BY 1) SELECT m, t, t - lag(t) OVER (ORDER BY m) AS growth FROM monthly",
    "WITH a AS (SELECT id FROM orders), b AS (SELECT id FROM a WHERE id > 5) SELECT * FROM b JOIN a USING (id)",
    "WITH secrets AS (SELECT id FROM orders) SELECT * FROM secrets",
    "WITH x AS MATERIALIZED (SELECT * FROM orders) SELECT (SELECT count(*) FROM x) FROM x",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n",
    "SELECT * FROM (SELECT customer_id, max(total) AS best FROM orders GROUP BY customer_id) AS t WHERE t.best > 10",
    "SELECT c.name, l.total FROM customers c CROSS JOIN LATERAL (SELECT total FROM orders o WHERE o.customer_id = c.id ORDER BY total DESC LIMIT 1) l",
    "SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders)",
    "SELECT name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
    "SELECT id FROM orders WHERE total > ALL (SELECT total FROM orders WHERE status = 'sent')",
    "SELECT id FROM orders WHERE status = ANY (ARRAY['paid', 'sent'])",
    "SELECT id FROM orders WHERE status = ANY ($1) AND total > $2",
    "SELECT (SELECT max(total) FROM orders) - (SELECT min(total) FROM orders) AS spread",
    "SELECT ARRAY(SELECT id FROM orders ORDER BY id)",
    "SELECT id FROM orders UNION ALL SELECT id FROM customers EXCEPT SELECT id FROM shop.items ORDER BY 1",
    "(SELECT id FROM orders LIMIT 5) UNION (SELECT id FROM customers LIMIT 5)",
    "SELECT CASE WHEN total > 100 THEN 'big' WHEN total > 10 THEN 'medium' ELSE 'small' END AS size, count(*) FROM orders GROUP BY 1",
    "SELECT CASE status WHEN 'paid' THEN 1 ELSE 0 END FROM orders",
    "SELECT name FROM customers WHERE name ILIKE '%smith%' OR email LIKE '%@example.com'",
    "SELECT name FROM customers WHERE name ~* '^o''(brien|neil)\\d+'",
    "SELECT coalesce(nullif(trim(name), ''), 'nobody') || ' <' || email || '>' FROM customers",
    "SELECT substring(name FROM 1 FOR 3), upper(left(name, 1)), position('@' IN email) FROM customers",
    "SELECT data ->> 'city' AS city, data #>> '{a,b}' FROM customers WHERE data @> '{\"vip\": true}'",
    "SELECT data->'items'->0->>'sku' FROM orders WHERE data ? 'items'",
    "SELECT jsonb_array_length(data -> 'items') FROM orders",
    "SELECT o.id, i.value FROM orders o, jsonb_array_elements(o.data -> 'items') AS i (value)",
    "SELECT d::date, count(o.id) FROM generate_series('2026-01-01'::date, '2026-01-31'::date, '1 day'::interval) AS d LEFT JOIN orders o ON o.created_at::date = d GROUP BY 1",
    "SELECT t FROM customers, unnest(tags) AS t",
    "SELECT tags[1], tags[2:3] FROM customers",
    "SELECT region, status, sum(total) FROM orders GROUP BY ROLLUP (region, status)",
    "SELECT region, status, sum(total), grouping(region) FROM orders GROUP BY GROUPING SETS ((region), (status), ())",
    "SELECT region, status, sum(total) FROM orders GROUP BY CUBE (region, status)",
    "SELECT round(100.0 * sum(total) / nullif(count(*), 0), 2) AS pct FROM orders WHERE total <> -1 AND total> -5",
    "SELECT * FROM orders WHERE (customer_id, status) IN ((1, 'paid'), (2, 'sent'))",
    "SELECT * FROM orders WHERE cancelled_at IS NULL AND paid IS NOT TRUE AND total IS DISTINCT FROM 0",
    "SELECT * FROM orders OFFSET 10 ROWS FETCH FIRST 5 ROWS ONLY",
    "SELECT \"Total Sum\", \"größe\" FROM orders AS \"O\" WHERE \"O\".\"user\" = 'Zoë \u{1f600} -- not a comment; /* nor this */'",
    "SELECT 'it''s', '', '''', 1.5e-3, .5, -1, +2, NOT true",
    "SELECT to_char(created_at, 'YYYY-MM'), current_date - 7, current_timestamp FROM orders",
    "SELECT json_build_object('n', count(*), 'sum', sum(total)) FROM orders",
    "SELECT name COLLATE \"C\" FROM customers ORDER BY name COLLATE \"C\"",
    "SELECT corr(total, quantity), stddev_samp(total), regr_slope(total, quantity) FROM orders",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t (id, name) JOIN orders USING (id)",
    "SELECT age(now(), created_at), greatest(1, total), least(2, total) FROM orders",
    "SELECT o.id\nFROM orders o\r\n\tINNER JOIN shop.items i\n\tON i.order_id = o.id\nWHERE\n\ti.price >= 10\n;\n",
    "SELECT width_bucket(total, 0, 100, 10) AS bucket, count(*) FROM orders GROUP BY bucket",
    "SELECT mode() WITHIN GROUP (ORDER BY status) FROM orders",
];

const WRITES: &[&str] = &[
    "INSERT INTO orders (id, total) VALUES (1, 2), ($1, $2)",
    "INSERT INTO orders (id, total) SELECT id, 0 FROM customers RETURNING id",
    "INSERT INTO orders AS o (id, total) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET total = excluded.total WHERE o.total < 5",
    "INSERT INTO shop.items VALUES (1) ON CONFLICT ON CONSTRAINT items_pkey DO NOTHING",
    "INSERT INTO orders DEFAULT VALUES",
    "UPDATE orders SET total = total + 1, status = 'paid' WHERE id = $1 RETURNING id, total",
    "UPDATE orders o SET total = c.credit FROM customers c WHERE c.id = o.customer_id",
    "UPDATE orders SET (total, status) = (SELECT 1, 'x') WHERE id = 3",
    "DELETE FROM orders WHERE id = 1 RETURNING *",
    "DELETE FROM orders o USING customers c WHERE c.id = o.customer_id AND c.gone",
    "DELETE FROM orders WHERE id IN (SELECT id FROM customers)",
];

#[test]
fn honest_queries() {
    assert!(QUERIES.len() >= 40);
    let table: Vec<_> = QUERIES.iter().map(|text| ("allowed", *text)).collect();
    answers(&reader(), &table);
}

#[test]
fn honest_writes() {
    let table: Vec<_> = WRITES.iter().map(|text| ("allowed", *text)).collect();
    answers(&writer(), &table);
}

/// The honest queries are honest about their tables: without one of them, those that name it are refused.
#[test]
fn a_table_that_is_taken_away_is_missed() {
    let fewer = super::Allowed::select_from(super::Dialect::PostgreSql, &super::tables(&["customers", "shop.items"]));
    let names_orders = |text: &&&str| {
        let lower = text.to_lowercase();
        ["from orders", "join orders", "(orders"].iter().any(|place| lower.contains(place))
    };
    let naming: Vec<_> = QUERIES.iter().filter(names_orders).map(|text| ("table", *text)).collect();
    assert!(naming.len() > 40);
    answers(&fewer, &naming);
}
