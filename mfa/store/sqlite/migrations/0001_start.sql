-- Column "user" is the folded name everywhere but in events. Times are unix microseconds.

CREATE TABLE users (
	user      TEXT NOT NULL PRIMARY KEY,
	name      TEXT NOT NULL,             -- as enrolled
	blocked   INTEGER NOT NULL DEFAULT 0,
	unblocked INTEGER NOT NULL DEFAULT 0,
	method    TEXT NOT NULL DEFAULT ''   -- what `method default` set
) WITHOUT ROWID;

CREATE TABLE tokens (
	id         TEXT NOT NULL PRIMARY KEY,
	user       TEXT NOT NULL,
	kind       TEXT NOT NULL,
	secret     BLOB NOT NULL,            -- sealed; the first byte is the key's id
	algorithm  TEXT NOT NULL,
	digits     INTEGER NOT NULL,
	period     INTEGER NOT NULL,
	next       INTEGER NOT NULL,         -- as of meta 'folded'; later uses are in events
	drift      INTEGER NOT NULL,
	serial     TEXT NOT NULL,
	label      TEXT NOT NULL,
	not_before INTEGER NOT NULL,
	expires    INTEGER NOT NULL,
	once       INTEGER NOT NULL,
	created    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tokens_user ON tokens (user);
CREATE UNIQUE INDEX tokens_serial ON tokens (serial COLLATE NOCASE) WHERE serial <> '';

-- How far tokens were used that are removed, for when one is registered again.
CREATE TABLE removed (
	mark BLOB NOT NULL PRIMARY KEY,      -- of the secret, see secretMark
	id   TEXT NOT NULL,                  -- of the token
	next INTEGER NOT NULL                -- as in tokens
) WITHOUT ROWID;

CREATE TABLE devices (
	id      TEXT NOT NULL PRIMARY KEY,
	user    TEXT NOT NULL,
	name    TEXT NOT NULL,
	key     BLOB NOT NULL,
	version INTEGER NOT NULL,
	added   INTEGER NOT NULL,
	seen    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX devices_user ON devices (user);

CREATE TABLE invitations (
	hash    BLOB NOT NULL PRIMARY KEY,   -- SHA-256 of the token
	name    TEXT NOT NULL,               -- of the user, canonical
	expires INTEGER NOT NULL
) WITHOUT ROWID;

-- "This was not me": no push for this user at these clients.
CREATE TABLE push_blocks (
	user TEXT NOT NULL,
	grp  TEXT NOT NULL,
	PRIMARY KEY (user, grp)
) WITHOUT ROWID;

CREATE TABLE latches (
	client TEXT NOT NULL,
	addr   TEXT NOT NULL,
	since  INTEGER NOT NULL,
	PRIMARY KEY (client, addr)
) WITHOUT ROWID;

-- The audit trail: append-only, one row a login, ids are unix microseconds and
-- strictly rising, so that a range of time needs no index. A column costs every
-- login, so that only what is looked for has one; `radmatch events --json`
-- shows the rest.
CREATE TABLE events (
	id     INTEGER PRIMARY KEY,
	user   TEXT,                         -- as it was, not folded
	client TEXT,
	reason TEXT,
	tries  INTEGER,
	token  TEXT,
	step   INTEGER,                      -- NULL: nothing was used up
	drift  INTEGER,
	data   BLOB NOT NULL                 -- everything else, see event.go
);

-- Events by user, up to meta 'folded'.
CREATE TABLE event_user (
	user TEXT NOT NULL,
	id   INTEGER NOT NULL,
	PRIMARY KEY (user, id)
) WITHOUT ROWID;

-- What a running server has to read again. No user: latches and sealing keys.
CREATE TABLE changes (
	id   INTEGER PRIMARY KEY AUTOINCREMENT,
	user TEXT
);

CREATE TABLE stats (
	client TEXT NOT NULL PRIMARY KEY,
	data   BLOB NOT NULL
) WITHOUT ROWID;

-- The one key that seals what is written now. The proof is a known text under it.
CREATE TABLE seal_key (
	id    INTEGER NOT NULL PRIMARY KEY,
	proof BLOB NOT NULL
);

CREATE TABLE meta (
	key   TEXT NOT NULL PRIMARY KEY,
	value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('folded', 0);
