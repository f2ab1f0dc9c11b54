-- The log of revocations for session stores that can lose writes.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: note_revocation
INSERT INTO revocations (name, place, expires_at) VALUES (:name, :place, :expires_at) ON CONFLICT DO NOTHING

-- name: page_revocations
SELECT place, name, expires_at FROM revocations WHERE name > :after ORDER BY name LIMIT :limit

-- name: trusted_server
SELECT trusted_at FROM trusted_servers WHERE server = :server

-- name: trust_server
INSERT INTO trusted_servers (server, trusted_at) VALUES (:server, :now) ON CONFLICT DO NOTHING

-- name: sweep_revocations
DELETE FROM revocations WHERE name IN (SELECT name FROM revocations WHERE expires_at <= :now LIMIT :limit)
RETURNING name
