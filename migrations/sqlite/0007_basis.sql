-- How far amounts are to be trusted. Of untold calls the bytes, from which their tokens are estimated;
-- attributed: the part of the tokens and of the nano-USD that only the log of callers told.

alter table spend_hour add column untold_sent integer not null default 0;
alter table spend_hour add column untold_received integer not null default 0;
alter table spend_hour add column attributed_tokens integer not null default 0;
alter table spend_hour add column attributed_nano integer not null default 0;
alter table spend_total add column untold_sent integer not null default 0;
alter table spend_total add column untold_received integer not null default 0;
alter table spend_total add column attributed_tokens integer not null default 0;
alter table spend_total add column attributed_nano integer not null default 0;

-- Rows written before have the first form.
alter table call_rows add column form integer not null default 1;

-- Records of gateways that wait for the calls of accounts they are about; needed_until counts spans of
-- five minutes since 1970.
create table gateway_row (
    id integer primary key,
    needed_until integer not null,
    body text not null
) strict;
create index gateway_row_by_age on gateway_row (needed_until);

-- Callers behind gateways, by hour: the part of an account's calls that is one call of a gateway's. The
-- numbers are those of the account's names.
create table gateway_caller (
    start integer not null,
    series integer not null,
    gateway integer not null,
    network integer not null,
    subject integer not null,
    calls integer not null,
    errors integer not null,
    tokens_in integer not null,
    tokens_cached integer not null,
    tokens_out integer not null,
    cost_nano integer not null,
    unpriced integer not null,
    attributed integer not null,
    primary key (start, series, gateway, network, subject)
) strict, without rowid;

-- How many calls of a gateway to a deployment were found among the account's.
create table gateway_hour (
    start integer not null,
    series integer not null,
    gateway integer not null,
    calls integer not null,
    linked integer not null,
    ambiguous integer not null,
    primary key (start, series, gateway)
) strict, without rowid;
