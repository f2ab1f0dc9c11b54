-- Probe rows: whether the database takes writes.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: write_probe
INSERT INTO probes (name, at) VALUES (:name, :now) ON CONFLICT (name) DO UPDATE SET at = excluded.at

-- name: probe
SELECT at FROM probes WHERE name = :name

-- name: replace_probe
UPDATE probes SET at = :now WHERE name = :name AND at = :written RETURNING name
