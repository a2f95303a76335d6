-- The passkey that confirms a device's approvals, as JSON, and its id, which no
-- other device may have. NULL: none.
ALTER TABLE devices ADD COLUMN passkey BLOB;
ALTER TABLE devices ADD COLUMN passkey_id BLOB;
CREATE UNIQUE INDEX devices_passkey ON devices (passkey_id) WHERE passkey_id IS NOT NULL;
