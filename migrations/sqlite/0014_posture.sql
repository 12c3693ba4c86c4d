-- How resources were found to be set: one row per resource and change. since_ms is the first poll that found it
-- so, until_ms the one that found it otherwise or gone (null while it holds); body is JSON with the state, the
-- last poll that found it so, and the last that did not.
create table resource_version (
    resource text not null,
    since_ms integer not null,
    until_ms integer,
    body text not null,
    primary key (resource, since_ms)
) strict, without rowid;
create index resource_version_until on resource_version (until_ms);
