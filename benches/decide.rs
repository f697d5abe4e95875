//! What it costs to judge one call: who is it, may they, is there room. Through the files that an operator writes.
#![expect(clippy::expect_used, reason = "a bench that cannot run says so")]

#[path = "shared.rs"]
mod shared;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use tollgate::config::{self, Kept, Overrides};
use tollgate::identity::{API_KEY, AuthError, Authenticators, Presented, Principal};
use tollgate::json::Bounds;
use tollgate::limits::Limits;
use tollgate::mcp::{self, Call, ServerName};
use tollgate::policy::{Context, PolicySet, Query, Shown};
use tollgate::sql::{Allowed, Dialect, TableName};

use shared::{Deployment, KEY, SERVER, is_smoke_test, key_entry, tools_call};

/// A role that grants more tools would be hard to review.
const TOOLS_PER_ROLE: usize = 100;
/// The files are bounded; so many roles fit into one.
const ROLES_PER_FILE: usize = 100;

/// A policy in force, and one call that it judges.
struct Scene {
    policy: PolicySet,
    limits: Limits,
    authenticators: Authenticators,
    headers: HeaderMap,
    principal: Arc<Principal>,
    server: ServerName,
    /// Of the last tool of the last role, which the caller holds.
    granted: Arc<Call>,
    /// Of the first tool that the caller does not hold, or of none.
    refused: Arc<Call>,
}

impl Scene {
    /// So many rules: each grants one tool to one role.
    fn of(rules: usize) -> Self {
        let role_count = rules.div_ceil(TOOLS_PER_ROLE);
        let mut files: Vec<(String, String)> = Vec::new();
        for role in 0..role_count {
            if role % ROLES_PER_FILE == 0 {
                let file = format!("roles-{:03}.yaml", role / ROLES_PER_FILE);
                files.push((file, format!("server: {SERVER}\nroles:\n")));
            }
            let tools = role * TOOLS_PER_ROLE..rules.min((role + 1) * TOOLS_PER_ROLE);
            let tools: Vec<_> = tools.map(tool).collect();
            if let Some((_, text)) = files.last_mut() {
                writeln!(text, "  role_{role}: {{ tools: [{}] }}", tools.join(", ")).expect("a String takes all");
            }
        }
        let last = tool(rules - 1);
        let limits = format!(
            "server: {SERVER}\ntools:\n  {last}:\n    limits:\n      \
             - {{ calls: 1000000000, every: 1s, per: principal }}\n      - {{ in_flight: 64, per: tool }}\n"
        );
        files.push(("limits.yaml".to_owned(), limits));
        Self::load(&format!("role_{}", role_count - 1), &files, &[], [&last, &tool(rules)])
    }

    /// One rule and so many keys.
    fn with_keys(keys: usize) -> Self {
        let policy = format!("server: {SERVER}\nroles:\n  role_0: {{ tools: [tool_0] }}\n");
        let more: Vec<_> =
            (1..keys).map(|n| key_entry(&format!("caller-{n}"), &format!("{KEY}-{n}"), "role_0")).collect();
        Self::load("role_0", &[("roles.yaml".to_owned(), policy)], &more, ["tool_0", "tool_1"])
    }

    /// One rule, beside these limits.
    fn with_limits(limits: &str) -> Self {
        let policy = format!("server: {SERVER}\nroles:\n  role_0: {{ tools: [tool_0] }}\n{limits}");
        Self::load("role_0", &[("roles.yaml".to_owned(), policy)], &[], ["tool_0", "tool_1"])
    }

    /// A thousand roles of two hundred tools each, and a condition on the arguments of the tool that is called.
    fn with_condition() -> Self {
        let (roles, files) = thousand_roles();
        Self::load(&format!("role_{}", roles - 1), &files, &[], [&tool(0), "tool_of_nobody"])
    }

    fn load(role: &str, files: &[(String, String)], keys: &[String], [granted, refused]: [&str; 2]) -> Self {
        let deployment =
            Deployment::new("http://127.0.0.1:9/mcp", role, files, keys).expect("the temporary folder can be written");
        let overrides = Overrides { config: Some(deployment.config()), ..Overrides::default() };
        let policies = config::load(&overrides, Kept::Here).expect("the files are good").policies;
        let headers = HeaderMap::from_iter([(API_KEY, HeaderValue::from_static(KEY))]);
        let principal = identified(&policies.authenticators, &headers);
        Self {
            limits: Limits::of(&policies.policy, None),
            policy: policies.policy,
            principal: principal.expect("the key is known"),
            authenticators: policies.authenticators,
            headers,
            server: ServerName::new(SERVER).expect("it is a name"),
            granted: read(granted),
            refused: read(refused),
        }
    }

    fn query<'a>(&'a self, call: &'a Call) -> Query<'a> {
        Query {
            principal: &self.principal,
            server: &self.server,
            method: call.method(),
            target: call.target(),
            context: context(),
        }
    }
}

/// The files of a thousand roles of two hundred tools each, with a condition on one of them; and how many roles they are.
fn thousand_roles() -> (usize, Vec<(String, String)>) {
    const ROLES: usize = 1000;
    const TOOLS: usize = 200;
    let roles = if is_smoke_test() { ROLES / 10 } else { ROLES };
    let file = |begin: usize| {
        let mut text = format!("server: {SERVER}\nroles:\n");
        for role in begin..begin + ROLES / 10 {
            let tools: Vec<_> = (0..TOOLS - 1).map(|n| tool(role * 7 + n + 1)).chain([tool(0)]).collect();
            writeln!(text, "  role_{role}: {{ tools: [{}] }}", tools.join(", ")).expect("a String takes all");
        }
        (format!("roles-{begin:04}.yaml"), text)
    };
    let mut files: Vec<_> = (0..roles).step_by(ROLES / 10).map(file).collect();
    let condition = format!(
        "server: {SERVER}\ntools:\n  {}:\n    arguments:\n      required: [id]\n      properties:\n        \
         id: {{ type: integer, maximum: 100 }}\n        status: {{ enum: [open, closed] }}\n",
        tool(0)
    );
    files.push(("tools.yaml".to_owned(), condition));
    (roles, files)
}

/// Some time, on this machine.
fn context() -> Context {
    Context { at: UNIX_EPOCH, from: Ipv4Addr::LOCALHOST.into(), shown: Shown::NotYet }
}

fn tool(n: usize) -> String {
    format!("get_record_of_kind_{n}")
}

fn read(tool: &str) -> Arc<Call> {
    let body = Bytes::from(tools_call(tool, r#"{"id":17}"#));
    Arc::new(mcp::read(&body, &Bounds::default()).expect("the message is a good one"))
}

/// Debug builds read files slowly, and a smoke test need not wait for the largest ones.
fn sizes(all: [usize; 3]) -> impl Iterator<Item = usize> {
    let most = if is_smoke_test() { 1000 } else { usize::MAX };
    all.into_iter().filter(move |size| *size <= most)
}

/// The decision alone: it must cost the same however long the policy is.
fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    for rules in sizes([10, 1000, 100_000]) {
        let scene = Scene::of(rules);
        for (name, call) in [("granted", &scene.granted), ("refused", &scene.refused)] {
            group.bench_function(BenchmarkId::new(name, rules), |bencher| {
                bencher.iter(|| scene.policy.decide(black_box(&scene.query(call))));
            });
        }
        // Whether a name may be a label: asked of every call, and no settings of the tool answer it here.
        let name = &tool(rules - 2);
        group.bench_function(BenchmarkId::new("names_tool", rules), |bencher| {
            bencher.iter(|| scene.policy.names_tool(&scene.server, black_box(name)));
        });
        group.bench_function(BenchmarkId::new("judge", rules), |bencher| {
            bencher.iter(|| {
                let principal = identified(&scene.authenticators, black_box(&scene.headers));
                let principal = principal.expect("the key is known");
                let permit = scene.policy.permit(&principal, &scene.granted, &scene.server, context());
                scene.limits.admit(permit.expect("the rule grants it")).now_or_never()
            });
        });
    }
    group.finish();
}

/// The limits alone: three of them, over time, at once and by size.
fn limit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    let limits = "limits: [{ bytes: 1000000000000, every: 1h, per: principal }]\n\
                  tools: { \"*\": { limits: [{ calls: 4000000000, every: 1s, per: principal }, { in_flight: 9, per: tool }] } }\n";
    let burst = "limits: [{ calls: 4000000000, every: 1s, burst: 1000000000, per: principal }]\n";
    for (name, limits) in [("none", ""), ("three", limits), ("burst", burst)] {
        let scene = Scene::with_limits(limits);
        let permit = || scene.policy.permit(&scene.principal, &scene.granted, &scene.server, context());
        group.bench_function(name, |bencher| {
            let permit = || permit().expect("the rule grants it");
            let admit = |permit| scene.limits.admit(permit).now_or_never();
            bencher.iter_batched(permit, admit, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// The same with a look into the arguments: that costs reading them once more, and no more with more roles.
fn condition(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("condition");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    let scene = Scene::with_condition();
    group.bench_function("granted", |bencher| {
        bencher.iter(|| scene.policy.decide(black_box(&scene.query(&scene.granted))));
    });
    group.bench_function("met", |bencher| {
        bencher.iter(|| scene.policy.permit(&scene.principal, black_box(&scene.granted), &scene.server, context()));
    });
    group.finish();
}

/// Who it is; of a key that is known without asking anybody.
fn identified(authenticators: &Authenticators, headers: &HeaderMap) -> Result<Arc<Principal>, AuthError> {
    authenticators.identify(Presented { headers, certificate: None }).now_or_never().expect("nobody has to be asked")
}

/// What `tollgate check` does with the same, from the files on the disk to the last warning.
fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let (roles, files) = thousand_roles();
    let deployment = Deployment::new("http://127.0.0.1:9/mcp", "role_0", &files, &[]);
    let deployment = deployment.expect("the temporary folder can be written");
    let overrides = Overrides { config: Some(deployment.config()), ..Overrides::default() };
    group.bench_function(BenchmarkId::new("roles", roles), |bencher| {
        bencher.iter(|| config::load(black_box(&overrides), Kept::Here).expect("the files are good"));
    });
    group.finish();
}

/// Who is it: one hash over the key, and a look-up.
fn identify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("identify");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    let most = if is_smoke_test() { 10 } else { 1000 };
    for keys in [1, most] {
        let scene = Scene::with_keys(keys);
        group.bench_function(BenchmarkId::new("keys", keys), |bencher| {
            bencher.iter(|| identified(&scene.authenticators, black_box(&scene.headers)));
        });
    }
    group.finish();
}

/// What an SQL text may do, of the length that models write.
fn sql(criterion: &mut Criterion) {
    let tables = ["orders", "customers"].map(|name| TableName::new(name).expect("it is a name"));
    let allowed = Allowed::select_from(Dialect::PostgreSql, &tables);
    let granted = "SELECT c.name, date_trunc('month', o.created_at) AS month, sum(o.total) AS revenue FROM orders o \
                   JOIN customers c ON c.id = o.customer_id WHERE o.status = 'paid' AND o.total > 100 \
                   GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10";
    let refused = granted.replace("customers", "secrets");
    assert!(allowed.check(granted).is_ok() && allowed.check(&refused).is_err());
    let mut group = criterion.benchmark_group("sql");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    for (name, text) in [("granted", granted), ("refused", &refused)] {
        group.bench_function(name, |bencher| bencher.iter(|| allowed.check(black_box(text))));
    }
    group.finish();
}

criterion_group!(benches, decide, limit, condition, check, identify, sql);
criterion_main!(benches);
