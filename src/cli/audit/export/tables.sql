-- What `tollgate audit export` fills, for those who ask. The record is the log: only that can be verified.

create table if not exists tool_calls (
    log             text        not null,  -- the log's name, which is its key's
    index           bigint      not null,  -- of the decision in it
    time            timestamptz not null,
    decision        text        not null,
    effect          text        not null check (effect in ('allow', 'deny')),
    principal       text,
    auth            text,
    issuer          text,
    peer            text,
    server          text,
    method          text,
    tool            text,
    prompt          text,
    resource        text,
    task            text,
    rule            text,
    policy          text,
    would_deny      text,
    would_deny_rule text,
    arguments       text,                  -- a keyed digest
    arguments_redacted text,               -- what may be seen of them, if the log holds that
    trace_id        text,
    outcome         text,                  -- of an allowed call only once it has ended
    refused         text,
    status          integer,
    code            bigint,
    duration_us     bigint,
    redacted        text[],
    primary key (log, index)
);
-- A table of before has not all of them.
alter table tool_calls add column if not exists arguments_redacted text;
create unique index if not exists tool_calls_by_decision  on tool_calls (log, decision);
create index        if not exists tool_calls_by_time      on tool_calls (time);
create index        if not exists tool_calls_by_tool      on tool_calls (server, tool, time);
create index        if not exists tool_calls_by_principal on tool_calls (principal, time);
create index        if not exists tool_calls_by_trace     on tool_calls (trace_id) where trace_id is not null;
create index        if not exists tool_calls_refused      on tool_calls (rule, time) where effect = 'deny';

-- What the gate itself did, or what befell it.
create table if not exists gate_events (
    log   text        not null,
    index bigint      not null,
    time  timestamptz not null,
    kind  text        not null,
    told  jsonb       not null,
    primary key (log, index)
);
create index if not exists gate_events_by_time on gate_events (time);

-- How far each log has been copied: the index of the first record that was not.
create table if not exists audit_exports (
    log  text        primary key,
    next bigint      not null,
    at   timestamptz not null default now()
);

create or replace view tool_calls_per_hour as
select date_trunc('hour', time) as hour, server, tool,
       count(*)                                                            as calls,
       count(*) filter (where effect = 'deny')                             as refused,
       count(*) filter (where outcome in ('tool_error', 'upstream_error', 'timeout')) as failed,
       percentile_cont(array[0.5, 0.95, 0.99])
           within group (order by duration_us) filter (where effect = 'allow') as duration_us
from tool_calls where tool is not null
group by 1, 2, 3;

create or replace view refusals_by_rule as
select rule, refused, count(*) as calls, count(distinct principal) as principals, min(time) as first, max(time) as last
from tool_calls where effect = 'deny'
group by 1, 2;

create or replace view calls_per_principal as
select principal, server, tool, count(*) as calls, count(*) filter (where effect = 'deny') as refused, max(time) as last
from tool_calls
group by 1, 2, 3;

-- Allowed, and no outcome is known: under way, or the gate was killed meanwhile.
create or replace view unfinished_calls as
select log, index, time, decision, principal, server, tool, arguments_redacted
from tool_calls where effect = 'allow' and outcome is null;
