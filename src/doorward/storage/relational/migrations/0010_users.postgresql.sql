-- Indexes of users by e-mail address and by sub. `email_key` is the canonical form of the address, which the program
-- computes (docs/decisions/0064-users-by-email.md). An older version writes the lower-case form, which is the same in
-- ASCII.

ALTER TABLE users ADD COLUMN email_key TEXT COLLATE "C";

-- The policy applies to the owner of the table too, so it is lifted while the rows of all tenants change.
ALTER TABLE users NO FORCE ROW LEVEL SECURITY;
UPDATE users SET email_key = substr(lower(email COLLATE "C"), 1, 256);
ALTER TABLE users FORCE ROW LEVEL SECURITY;

CREATE INDEX users_by_email ON users (tenant_id, email_key, login_key);
CREATE INDEX users_by_sub ON users (tenant_id, sub, login_key);

CREATE FUNCTION key_email() RETURNS TRIGGER LANGUAGE plpgsql AS
'BEGIN NEW.email_key = substr(lower(NEW.email COLLATE "C"), 1, 256); RETURN NEW; END';

CREATE TRIGGER user_written_without_key BEFORE INSERT OR UPDATE OF email ON users FOR EACH ROW
WHEN (NEW.email_key IS NULL OR (octet_length(NEW.email) = length(NEW.email)
    AND NEW.email_key <> substr(lower(NEW.email COLLATE "C"), 1, 256)))
EXECUTE FUNCTION key_email();

-- Logins change. As for users who are added and removed: docs/decisions/0060-user-search.md. Triggers run in the
-- order of their names.

CREATE TRIGGER user_renamed_from AFTER UPDATE OF login_key ON users FOR EACH ROW
WHEN (OLD.login_key <> NEW.login_key) EXECUTE FUNCTION forget_login();
CREATE TRIGGER user_renamed_to AFTER UPDATE OF login_key ON users FOR EACH ROW
WHEN (OLD.login_key <> NEW.login_key) EXECUTE FUNCTION note_login();
