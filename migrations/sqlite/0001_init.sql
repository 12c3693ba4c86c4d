-- Times are integers: milliseconds since 1970 (…_ms), minutes since 1970 (start), in UTC.
-- series = account * 2^32 + deployment, both numbers of names; caller: -1 the whole deployment,
-- -2 every caller beyond the cap, else network * 2^32 + identity.

create table meta (
    key text primary key,
    value text not null
) strict, without rowid;

-- What was read: the only truth about positions.
create table partition_state (
    hub text not null,
    incarnation integer not null,
    partition text not null,
    next_seq integer,
    passed_ms integer not null,
    epoch integer not null,
    events integer not null default 0,
    tokens integer not null default 0,
    primary key (hub, incarnation, partition)
) strict, without rowid;

create table account (
    id integer primary key,
    resource text not null unique,
    judged_to integer,
    watermark_ms integer
) strict;

create table account_hub (
    account integer not null,
    hub text not null,
    primary key (account, hub)
) strict, without rowid;

create table name (
    account integer not null,
    id integer not null,
    kind integer not null,
    text text not null,
    primary key (account, id)
) strict, without rowid;

create table rollup_minute (
    start integer not null,
    series integer not null,
    caller integer not null,
    calls integer not null,
    errors integer not null,
    tokens_in integer not null,
    tokens_cached integer not null,
    tokens_out integer not null,
    cost_nano integer not null,
    unpriced integer not null,
    attributed integer not null,
    late_calls integer not null,
    late_errors integer not null,
    late_tokens_in integer not null,
    late_tokens_cached integer not null,
    late_tokens_out integer not null,
    late_cost_nano integer not null,
    late_unpriced integer not null,
    late_attributed integer not null,
    primary key (start, series, caller)
) strict, without rowid;

create table rollup_five (
    start integer not null,
    series integer not null,
    caller integer not null,
    calls integer not null,
    errors integer not null,
    tokens_in integer not null,
    tokens_cached integer not null,
    tokens_out integer not null,
    cost_nano integer not null,
    unpriced integer not null,
    attributed integer not null,
    late_calls integer not null,
    late_errors integer not null,
    late_tokens_in integer not null,
    late_tokens_cached integer not null,
    late_tokens_out integer not null,
    late_cost_nano integer not null,
    late_unpriced integer not null,
    late_attributed integer not null,
    primary key (start, series, caller)
) strict, without rowid;

create table rollup_hour (
    start integer not null,
    series integer not null,
    caller integer not null,
    calls integer not null,
    errors integer not null,
    tokens_in integer not null,
    tokens_cached integer not null,
    tokens_out integer not null,
    cost_nano integer not null,
    unpriced integer not null,
    attributed integer not null,
    late_calls integer not null,
    late_errors integer not null,
    late_tokens_in integer not null,
    late_tokens_cached integer not null,
    late_tokens_out integer not null,
    late_cost_nano integer not null,
    late_unpriced integer not null,
    late_attributed integer not null,
    primary key (start, series, caller)
) strict, without rowid;

-- Life-time sums; what `replay` prints and what the partitions' tokens are compared with.
create table total (
    series integer not null,
    model integer not null,
    calls integer not null,
    errors integer not null,
    tokens_in integer not null,
    tokens_cached integer not null,
    tokens_out integer not null,
    cost_nano integer not null,
    unpriced integer not null,
    attributed integer not null,
    late_calls integer not null,
    late_errors integer not null,
    late_tokens_in integer not null,
    late_tokens_cached integer not null,
    late_tokens_out integer not null,
    late_cost_nano integer not null,
    late_unpriced integer not null,
    late_attributed integer not null,
    primary key (series, model)
) strict, without rowid;

-- Rows of calls that may still change; folding them in any order rebuilds the join.
create table call_rows (
    id integer primary key,
    account integer not null,
    needed_until integer not null,
    body blob not null
) strict;
create index call_rows_by_age on call_rows (account, needed_until);

create table series_state (
    series integer primary key,
    body blob not null
) strict;

create table incident (
    key text primary key,
    rule text not null,
    scope text not null,
    account integer not null,
    n integer not null,
    state text not null,
    closing_severity text,
    announced text not null,
    escalations integer not null,
    quiet integer not null,
    score real not null,
    banked_usd real not null,
    first_window_ms integer not null,
    opened_at_ms integer not null,
    body text not null
) strict, without rowid;

create table outbox (
    key text primary key,
    incident_key text not null,
    destination text not null,
    kind text not null,
    created_ms integer not null,
    body blob not null,
    state text not null default 'pending',
    attempt integer not null default 0,
    not_before_ms integer not null default 0,
    first_failed_ms integer,
    sent_ms integer,
    reason text
) strict;
create index outbox_pending on outbox (destination, created_ms) where state = 'pending';

create table quarantine (
    id integer primary key,
    at_ms integer not null,
    category text not null,
    path text not null,
    reason text not null,
    sample text not null
) strict;

create table counter (
    kind text not null,
    name text not null,
    value integer not null,
    primary key (kind, name)
) strict, without rowid;

-- What could not be counted, by reason: shown beside the totals, not in them.
create table ledger (
    series integer not null,
    reason text not null,
    records integer not null,
    tokens integer not null,
    primary key (series, reason)
) strict, without rowid;

create table gap (
    id integer primary key,
    hub text not null,
    incarnation integer not null,
    partition text not null,
    from_seq integer not null,
    to_seq integer not null
) strict;
