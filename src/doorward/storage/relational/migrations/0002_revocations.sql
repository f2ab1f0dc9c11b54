-- Revocations of sessions that are stored outside this database, and the servers to which all of them were replayed.

CREATE TABLE revocations (
    name       TEXT ${BINARY} PRIMARY KEY,
    place      TEXT NOT NULL,
    expires_at BIGINT
) ${CLUSTERED};

CREATE INDEX revocations_by_expiry ON revocations (expires_at);

CREATE TABLE trusted_servers (
    server     TEXT PRIMARY KEY,
    trusted_at BIGINT NOT NULL
) ${CLUSTERED};
