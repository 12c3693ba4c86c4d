-- What the data say about themselves. start is in minutes since 1970, day and hour in days and hours
-- since 1970, all UTC; series = account * 2^32 + deployment, 0 for a whole account.

-- Points of platform metrics, two days of them; the newest told value holds. quantity: 0 prompt
-- tokens, 1 generated tokens, 2 requests, 3 use of provisioned throughput in hundredths of a percent
-- (in no sum); family: 0 all publishers, 1 OpenAI models alone.
create table metric_point (
    series integer not null,
    start integer not null,
    quantity integer not null,
    family integer not null,
    value integer not null,
    enqueued_ms integer not null,
    told integer not null,
    primary key (series, start, quantity, family)
) strict, without rowid;

-- Their sums by hour, made anew from the points whenever one of the hour changes; null: no point.
create table metric_hour (
    start integer not null,
    series integer not null,
    tokens_in integer,
    tokens_out integer,
    requests integer,
    primary key (start, series)
) strict, without rowid;

-- How long records took, as counts in buckets of fixed bounds (aggregate::delay). leg: 0 from the
-- record's own end to the hub, 1 from the hub to us.
create table delay_day (
    day integer not null,
    hub text not null,
    kind text not null,
    leg integer not null,
    bucket integer not null,
    records integer not null,
    primary key (day, hub, kind, leg, bucket)
) strict, without rowid;

-- Rows that can be told from others of their call, and how many of them had come before.
create table repeat_hour (
    hour integer not null,
    account integer not null,
    kind text not null,
    records integer not null,
    copies integer not null,
    primary key (hour, account, kind)
) strict, without rowid;

-- What each account sends: records of each kind, what they said, first and last arrival.
create table account_kind (
    account integer not null,
    kind text not null,
    records integer not null,
    tokens integer not null,
    identity integer not null,
    deployment integer not null,
    caller integer not null,
    first_ms integer not null,
    last_ms integer not null,
    primary key (account, kind)
) strict, without rowid;
