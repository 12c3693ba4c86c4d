-- Spend by meter: what a bill is compared with. start is in minutes since 1970, UTC; cost in nano-USD;
-- untold: calls that succeeded and of which no record told the tokens; unpriced and provisioned are
-- parts of the tokens.

create table spend_hour (
    start integer not null,
    series integer not null,
    model integer not null,
    calls integer not null,
    untold integer not null,
    tokens_input integer not null,
    nano_input integer not null,
    unpriced_input integer not null,
    provisioned_input integer not null,
    tokens_cached integer not null,
    nano_cached integer not null,
    unpriced_cached integer not null,
    provisioned_cached integer not null,
    tokens_output integer not null,
    nano_output integer not null,
    unpriced_output integer not null,
    provisioned_output integer not null,
    primary key (start, series, model)
) strict, without rowid;

-- The same over the life of the database.
create table spend_total (
    series integer not null,
    model integer not null,
    calls integer not null,
    untold integer not null,
    tokens_input integer not null,
    nano_input integer not null,
    unpriced_input integer not null,
    provisioned_input integer not null,
    tokens_cached integer not null,
    nano_cached integer not null,
    unpriced_cached integer not null,
    provisioned_cached integer not null,
    tokens_output integer not null,
    nano_output integer not null,
    unpriced_output integer not null,
    provisioned_output integer not null,
    primary key (series, model)
) strict, without rowid;
