-- Column "user" is the form of a name (mfa.NameKey) from now on, which was its lower
-- case before. 1: Store.reform has gone through what was there.
INSERT INTO meta VALUES ('names', 0);
