-- Records of each kind and how many of them said what, by the day they arrived (days since 1970).
-- At most one row a day and kind: kept for ever.
create table coverage (
    day integer not null,
    kind text not null,
    records integer not null,
    tokens integer not null,
    identity integer not null,
    deployment integer not null,
    caller integer not null,
    primary key (day, kind)
) strict, without rowid;
