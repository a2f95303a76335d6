-- Wrong codes of a user since the last right one, for whom there are some.
CREATE TABLE wrong_codes (
	user  TEXT NOT NULL PRIMARY KEY,
	row   INTEGER NOT NULL,
	locks INTEGER NOT NULL,
	last  INTEGER NOT NULL,
	since INTEGER NOT NULL,              -- of the last lock; 0: none
	until INTEGER NOT NULL
) WITHOUT ROWID;
