-- What rules about the control plane remember: kind is what (an operation that waits, the first record of a
-- subscription, when somebody acted, how a resource was last set, an operation of the last two days), key is
-- unique within it, and body is JSON.
create table control_state (
    kind text not null,
    key text not null,
    body text not null,
    primary key (kind, key)
) strict, without rowid;
