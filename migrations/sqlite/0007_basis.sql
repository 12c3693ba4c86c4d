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
