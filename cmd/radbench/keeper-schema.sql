PRAGMA journal_mode = WAL;
CREATE TABLE logins (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  user TEXT NOT NULL,
  step INTEGER NOT NULL,
  client TEXT,
  nas TEXT,
  UNIQUE (user, step)
);
