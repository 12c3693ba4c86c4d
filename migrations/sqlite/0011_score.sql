-- What fell together in the newest closed slots: hubs is a JSON list of the hubs that accounts share, slot counts
-- five minutes since 1970, complete says whether everything that belongs to the slot had been read, and
-- fleet is JSON: deployments judged, and those whose traffic had fallen, by their rhythm.
create table fleet_slot (
    hubs text not null,
    slot integer not null,
    complete integer not null,
    fleet text not null,
    primary key (hubs, slot)
) strict, without rowid;

-- Detector states take another form: what stood here says nothing, and the sums are read again.
update series_state set body = x'';
