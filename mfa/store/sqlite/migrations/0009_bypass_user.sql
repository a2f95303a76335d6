-- A bypass may be for one user, by canonical name; grp is then ''.
ALTER TABLE bypasses ADD COLUMN user TEXT NOT NULL DEFAULT '';
