-- PostgreSQL reads "user" as the role: the same statements serve both databases.
ALTER TABLE users RENAME COLUMN user TO usr;
ALTER TABLE tokens RENAME COLUMN user TO usr;
ALTER TABLE devices RENAME COLUMN user TO usr;
ALTER TABLE push_blocks RENAME COLUMN user TO usr;
ALTER TABLE events RENAME COLUMN user TO usr;
ALTER TABLE event_user RENAME COLUMN user TO usr;
ALTER TABLE changes RENAME COLUMN user TO usr;
ALTER TABLE accounting RENAME COLUMN user TO usr;
ALTER TABLE wrong_codes RENAME COLUMN user TO usr;
ALTER TABLE bypasses RENAME COLUMN user TO usr;
