-- What was told of a budget, once each in a period: mark is `80 %`, `forecast` or `burn 1 h`; from_minute
-- the first minute of the period (since 1970, UTC). What was spent is summed up from the hours.
create table budget_mark (
    budget text not null,
    from_minute integer not null,
    mark text not null,
    told_ms integer not null,
    primary key (budget, from_minute, mark)
) strict, without rowid;
