-- Finished imports.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: last_import
SELECT begun_at FROM imports WHERE source = :source

-- name: note_import
INSERT INTO imports (source, begun_at) VALUES (:source, :begun_at)
ON CONFLICT (source) DO UPDATE SET begun_at = excluded.begun_at WHERE imports.begun_at < excluded.begun_at
