-- What is usual of an account's callers: days of how calls were answered, what it is used for, and who only
-- listed. body is JSON, saved every hour in which something was done.
create table conduct (
    account integer primary key,
    body text not null
) strict;
