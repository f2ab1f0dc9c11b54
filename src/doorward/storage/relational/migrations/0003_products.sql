-- Settings of tenants, metadata of users, API keys, reset codes, and the audit log.

ALTER TABLE tenants ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tenants ADD COLUMN disabled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

ALTER TABLE users ADD COLUMN metadata TEXT;
ALTER TABLE users ADD COLUMN disabled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- A tenant's session policy is stored with the epoch of its users' sessions, so that a verification reads both at once.
ALTER TABLE epochs ADD COLUMN idle BIGINT;
ALTER TABLE epochs ADD COLUMN lifetime BIGINT;

ALTER TABLE sessions ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN refreshed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN permissions TEXT;
ALTER TABLE sessions ADD COLUMN ip TEXT;
ALTER TABLE sessions ADD COLUMN user_agent TEXT;
UPDATE sessions SET seen_at = created_at;

-- Deleted tenants whose rows wait to be removed.
CREATE TABLE departed (
    tenant_id TEXT PRIMARY KEY
) ${CLUSTERED};

CREATE TABLE api_keys (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    permissions TEXT NOT NULL,
    digest      ${BYTES} NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT,
    last_used   BIGINT
) ${CLUSTERED};

CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, created_at);

CREATE TABLE reset_codes (
    user_id     TEXT PRIMARY KEY,
    digest      ${BYTES} NOT NULL UNIQUE,
    tenant_id   TEXT NOT NULL,
    credentials BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
) ${CLUSTERED};

CREATE INDEX reset_codes_by_expiry ON reset_codes (expires_at);

CREATE TABLE audit_chains (
    tenant_id   TEXT PRIMARY KEY,
    number      BIGINT NOT NULL,
    hash        TEXT NOT NULL,
    base_number BIGINT NOT NULL,
    base_hash   TEXT NOT NULL
) ${CLUSTERED};

CREATE TABLE audit (
    tenant_id TEXT NOT NULL,
    number    BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    entry     TEXT NOT NULL,
    hash      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, number)
) ${CLUSTERED};

CREATE INDEX audit_by_time ON audit (at);
