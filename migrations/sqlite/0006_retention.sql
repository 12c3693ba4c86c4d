-- How far callers' rows were reduced, by the kind of reduction: every row that begins before this
-- minute is in the reduced form.

create table reduced (
    privacy text primary key,
    until integer not null
) strict, without rowid;
