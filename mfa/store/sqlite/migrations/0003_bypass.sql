-- Bypasses (mfa.Bypass) that are not over, by the wall clock.
CREATE TABLE bypasses (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	grp      TEXT NOT NULL,
	client   TEXT NOT NULL,              -- '': every client
	began    INTEGER NOT NULL,
	until    INTEGER NOT NULL,
	seen     INTEGER NOT NULL,           -- when a server last knew it: a clock before that was set back
	reason   TEXT NOT NULL,
	operator TEXT NOT NULL
);
