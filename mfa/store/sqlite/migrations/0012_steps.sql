-- What kind of step of a login an event is (record.StepNumber); NULL for a line of the
-- trail, where it takes no room.
ALTER TABLE events ADD COLUMN kind INTEGER;
