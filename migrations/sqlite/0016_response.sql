-- Steps that people proposed to the operator's automation: one row a proposal, numbered as the action that made it.
-- key is that of the call in the outbox, null before it was confirmed; body is JSON.
create table response (
    id integer primary key,
    incident text not null,
    key text unique,
    answered integer not null default 0,
    body text not null
) strict;
create index response_unanswered on response (key) where answered = 0;
