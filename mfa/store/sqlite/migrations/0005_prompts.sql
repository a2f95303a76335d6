-- Prompts that are open on devices, for a server that was killed
-- (mfa.OpenPrompt). Written late and not synced: a row may be missing, or still
-- be here when the login has its event.
CREATE TABLE prompts (
	id   TEXT NOT NULL PRIMARY KEY,      -- of the login
	data BLOB NOT NULL                   -- JSON
) WITHOUT ROWID;
