-- Where a device takes Web Push (push.WebSubscription). No endpoint: it does not.
ALTER TABLE devices ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN web_key BLOB;
ALTER TABLE devices ADD COLUMN web_auth BLOB;

-- The key by which push services know this server, sealed as tokens are. At most one row.
CREATE TABLE web_push_key (
	id  INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (id = 1),
	key BLOB NOT NULL
);
