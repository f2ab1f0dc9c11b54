-- Indexes of users by e-mail address and by sub. `email_key` is the canonical form of the address, which the program
-- computes (docs/decisions/0064-users-by-email.md). An older version writes the lower-case form, which is the same in
-- ASCII.

ALTER TABLE users ADD COLUMN email_key TEXT COLLATE BINARY;
UPDATE users SET email_key = substr(lower(email), 1, 256);

CREATE INDEX users_by_email ON users (tenant_id, email_key, login_key);
CREATE INDEX users_by_sub ON users (tenant_id, sub, login_key);

CREATE TRIGGER user_added_without_key AFTER INSERT ON users WHEN NEW.email_key IS NULL
BEGIN UPDATE users SET email_key = substr(lower(NEW.email), 1, 256) WHERE id = NEW.id; END;

CREATE TRIGGER user_changed_without_key AFTER UPDATE OF email ON users
WHEN length(CAST(NEW.email AS BLOB)) = length(NEW.email) AND NEW.email_key <> substr(lower(NEW.email), 1, 256)
BEGIN UPDATE users SET email_key = substr(lower(NEW.email), 1, 256) WHERE id = NEW.id; END;

-- Logins change. As for users who are added and removed: docs/decisions/0060-user-search.md.

CREATE TRIGGER user_renamed AFTER UPDATE OF login_key ON users WHEN OLD.login_key <> NEW.login_key
BEGIN DELETE FROM unindexed WHERE tenant_id = OLD.tenant_id AND login_key = OLD.login_key
; DELETE FROM pieces WHERE tenant = (SELECT number FROM searched_tenants WHERE tenant_id = OLD.tenant_id)
AND piece IN (
    WITH RECURSIVE places (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM places WHERE at < length(OLD.login_key))
    SELECT substr(OLD.login_key, at, 6) FROM places UNION SELECT '')
AND login_key = OLD.login_key
; INSERT INTO unindexed (tenant_id, login_key) VALUES (NEW.tenant_id, NEW.login_key); END;
