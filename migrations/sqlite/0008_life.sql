-- The life of incidents, what people do, and who was told what. Times are milliseconds since 1970.

alter table incident add column announced_usd real not null default 0;

-- Every moment of every incident; author is empty for the service itself.
create table incident_event (
    id integer primary key,
    incident text not null,
    at_ms integer not null,
    author text not null,
    what text not null
) strict;
create index incident_event_by_incident on incident_event (incident, id);

-- What people asked for, written down first and answered in the transaction of what it changed.
create table action (
    id integer primary key autoincrement,
    at_ms integer not null,
    author text not null,
    reason text not null,
    deed text not null,
    state text not null default 'pending',
    answer text
) strict;
create index action_pending on action (id) where state = 'pending';

-- Numbers are those of the actions that made them; ended_ms: when somebody ended it early.
create table silence (
    id integer primary key,
    matchers text not null,
    from_ms integer not null,
    until_ms integer not null,
    author text not null,
    reason text not null,
    ended_ms integer
) strict;

-- What receivers were told, by group of their routes.
create table route_group (
    id text primary key,
    body text not null
) strict, without rowid;
