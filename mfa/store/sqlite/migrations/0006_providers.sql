-- Devices of other providers than our own have no key: their provider carries
-- the prompt and vouches for the answer.
ALTER TABLE devices ADD COLUMN provider TEXT NOT NULL DEFAULT ''; -- name of the entry of push; '': our own
