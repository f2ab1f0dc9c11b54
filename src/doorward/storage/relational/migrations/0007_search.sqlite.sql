-- Fragments of logins for search (docs/decisions/0060-user-search.md). Triggers maintain them for every version of the
-- program. Existing users are indexed later, in small batches.

CREATE TABLE searched_tenants (
    number    INTEGER PRIMARY KEY,
    tenant_id TEXT NOT NULL UNIQUE,
    taken     TEXT
);

CREATE TABLE unindexed (
    tenant_id TEXT NOT NULL,
    login_key TEXT NOT NULL,
    PRIMARY KEY (tenant_id, login_key)
) WITHOUT ROWID;

CREATE TABLE pieces (
    tenant    INTEGER NOT NULL,
    piece     TEXT NOT NULL,
    login_key TEXT NOT NULL,
    PRIMARY KEY (tenant, piece, login_key)
) WITHOUT ROWID;

CREATE TRIGGER tenant_added AFTER INSERT ON tenants
BEGIN INSERT INTO searched_tenants (tenant_id) VALUES (NEW.id); END;

CREATE TRIGGER tenant_removed AFTER DELETE ON tenants
BEGIN DELETE FROM searched_tenants WHERE tenant_id = OLD.id; END;

CREATE TRIGGER user_added AFTER INSERT ON users
BEGIN INSERT INTO unindexed (tenant_id, login_key) VALUES (NEW.tenant_id, NEW.login_key); END;

CREATE TRIGGER user_removed AFTER DELETE ON users
BEGIN DELETE FROM unindexed WHERE tenant_id = OLD.tenant_id AND login_key = OLD.login_key; END;

CREATE TRIGGER user_pieces_removed AFTER DELETE ON users
BEGIN DELETE FROM pieces WHERE tenant = (SELECT number FROM searched_tenants WHERE tenant_id = OLD.tenant_id)
AND piece IN (
    WITH RECURSIVE places (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM places WHERE at < length(OLD.login_key))
    SELECT substr(OLD.login_key, at, 6) FROM places UNION SELECT '')
AND login_key = OLD.login_key; END;

INSERT INTO searched_tenants (tenant_id, taken) SELECT id, '' FROM tenants;
