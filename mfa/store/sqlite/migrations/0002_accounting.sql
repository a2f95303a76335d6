-- What NAS devices report of sessions (RFC 2866): append-only like events, and
-- with ids from the same sequence, so that both are one trail.
CREATE TABLE accounting (
	id      INTEGER PRIMARY KEY,
	user    TEXT,                        -- as it was, not folded
	client  TEXT,
	mark    BLOB NOT NULL,               -- the same in a retransmission
	interim INTEGER,                     -- 1: goes before the others, NULL else
	data    BLOB NOT NULL                -- everything else, see event.go
);

-- Up to where interim reports were looked for that are old.
INSERT INTO meta VALUES ('thinned', 0);

-- Signs the Class attribute that joins a session to its login. Whoever has it
-- could ascribe a session to another login, and nothing else.
CREATE TABLE class_key (key BLOB NOT NULL);
INSERT INTO class_key VALUES (randomblob(32));
