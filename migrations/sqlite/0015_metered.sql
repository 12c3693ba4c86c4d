-- What metrics count of an account by the piece and not by the token: images, pages, audio, training, and how full
-- its provisioned units are. body is JSON, saved with every step in which a point of them came or an hour closed.
create table metered (
    account integer primary key,
    body text not null
) strict;
