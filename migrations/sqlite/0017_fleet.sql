-- How far peers have fallen is kept as ratios, and no longer as who fell: what was kept of the last hours is forgotten.
delete from fleet_slot;
