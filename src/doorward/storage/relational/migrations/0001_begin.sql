-- Times are milliseconds since the Unix epoch. ${BYTES}, ${BINARY} and ${CLUSTERED} are filled in per database.

CREATE TABLE tenants (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL,
    email_key     TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    credentials   BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
) ${CLUSTERED};

CREATE TABLE users (
    id                TEXT PRIMARY KEY,
    tenant_id         TEXT NOT NULL REFERENCES tenants (id),
    login             TEXT NOT NULL,
    login_key         TEXT ${BINARY} NOT NULL,
    email             TEXT NOT NULL,
    company           TEXT,
    sub               TEXT NOT NULL,
    scope             TEXT,
    password_hash     TEXT NOT NULL,
    credentials       BIGINT NOT NULL,
    registration_date BIGINT NOT NULL,
    last_activity     BIGINT NOT NULL,
    UNIQUE (tenant_id, login_key)
) ${CLUSTERED};

-- A session is valid only while both of its epochs are the current ones of its owner and of its realm. Removing one row
-- here revokes all sessions of an owner or a realm; the next session opened draws a new random epoch.
CREATE TABLE epochs (
    owner TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL
) ${CLUSTERED};

CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    tenant_id   TEXT NOT NULL,
    user_id     TEXT,
    device_id   TEXT,
    key         ${BYTES} NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT,
    owner       TEXT NOT NULL,
    epoch       BIGINT NOT NULL,
    realm       TEXT NOT NULL,
    realm_epoch BIGINT NOT NULL
) ${CLUSTERED};

CREATE INDEX sessions_by_owner ON sessions (owner, created_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Owners whose revoked sessions wait to be swept.
CREATE TABLE ended (
    owner TEXT PRIMARY KEY
) ${CLUSTERED};

CREATE TABLE budgets (
    key     TEXT PRIMARY KEY,
    full_at BIGINT NOT NULL
) ${CLUSTERED};

CREATE TABLE attempts (
    key           TEXT PRIMARY KEY,
    failures      BIGINT NOT NULL,
    pending       BIGINT NOT NULL,
    lease_until   BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
) ${CLUSTERED};

CREATE INDEX attempts_by_expiry ON attempts (expires_at);
