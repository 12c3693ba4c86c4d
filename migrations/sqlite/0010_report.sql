-- Which reports were told to whom: the key is what makes each leave once, whoever makes it. from_ms and
-- until_ms are the ends of the period; edition: 'first', 'correction' (once, of a partial one), or
-- 'again-N' (somebody asked for it). nano is the total as told; destination '' says that a partial
-- report was looked at again and needed no correction.
create table report (
    name text not null,
    scope text not null,
    period text not null,
    destination text not null,
    edition text not null,
    from_ms integer not null,
    until_ms integer not null,
    partial integer not null,
    nano integer not null,
    told_ms integer not null,
    outbox_key text not null,
    primary key (name, scope, period, destination, edition)
) strict, without rowid;
