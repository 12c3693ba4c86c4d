-- How deployments were bought, as the activity log tells it: from at_ms on, by a record that the hub
-- took at told_ms.

create table purchase (
    series integer not null,
    at_ms integer not null,
    sku text not null,
    told_ms integer not null,
    primary key (series, at_ms, sku)
) strict, without rowid;
