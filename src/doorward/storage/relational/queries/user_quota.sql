-- The count of users per tenant.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: user_count
SELECT number, counted_at FROM user_counts WHERE tenant_id = :tenant_id

-- name: reserve_users
-- The row stays locked until the transaction ends, so creations of one tenant are counted one after the other.
UPDATE user_counts SET number = number + CAST(:places AS BIGINT)
WHERE tenant_id = :tenant_id AND counted_at > :oldest AND counted_at <= :latest AND number + :places <= :most
RETURNING number

-- name: reserve_unless_taken
UPDATE user_counts SET number = number + CASE
    WHEN EXISTS (SELECT 1 FROM users WHERE tenant_id = :tenant_id AND login_key = :login_key) THEN 0 ELSE 1 END
WHERE tenant_id = :tenant_id AND (
    EXISTS (SELECT 1 FROM users WHERE tenant_id = :tenant_id AND login_key = :login_key)
    OR (counted_at > :oldest AND counted_at <= :latest AND number < :most))
RETURNING number

-- name: release_users
-- With 0 places, it only locks the count; a new row is counted before it is used.
INSERT INTO user_counts (tenant_id, number, counted_at) VALUES (:tenant_id, 0, 0)
ON CONFLICT (tenant_id) DO UPDATE SET number = user_counts.number - CAST(:places AS BIGINT)

-- name: count_users
UPDATE user_counts SET number = (SELECT count(*) FROM users WHERE tenant_id = :tenant_id), counted_at = :now
WHERE tenant_id = :tenant_id AND (counted_at <= :before OR counted_at > :latest)

-- name: forget_user_counts
DELETE FROM user_counts
