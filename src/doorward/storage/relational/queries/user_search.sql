-- Search of users by parts of their logins.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: login_ahead
-- The login :steps after another one; none if the tenant has fewer.
SELECT login_key FROM users WHERE tenant_id = :tenant_id AND login_key > :after ORDER BY login_key LIMIT 1 OFFSET :steps

-- name: walk_users
-- Scans an index, and reads whole rows of matches only.
SELECT u.id, u.tenant_id, u.login, u.email, u.company, u.sub, u.scope, u.password_hash, u.credentials,
       u.registration_date, u.last_activity, u.metadata, u.email_verified_at, u.disabled, u.version
FROM (SELECT login_key FROM users
      WHERE tenant_id = :tenant_id AND login_key > :after AND login_key <= :last AND login_key LIKE :pattern ESCAPE '\'
      ORDER BY login_key LIMIT :limit) AS found
JOIN users u ON u.tenant_id = :tenant_id AND u.login_key = found.login_key
ORDER BY u.login_key

-- name: count_candidates
-- Number of rows that `search_users` would read, up to a limit; none while older users are still to be indexed.
SELECT (SELECT count(*) FROM (
            SELECT 1 FROM pieces WHERE tenant = t.number AND piece >= :piece AND piece < :beyond LIMIT :most) AS a)
     + (SELECT count(*) FROM (SELECT 1 FROM pieces WHERE tenant = t.number AND piece = '' LIMIT :most) AS b)
     + (SELECT count(*) FROM (SELECT 1 FROM unindexed u WHERE u.tenant_id = t.tenant_id LIMIT :most) AS c)
FROM searched_tenants t WHERE t.tenant_id = :tenant_id AND t.taken IS NULL

-- name: search_users
SELECT u.id, u.tenant_id, u.login, u.email, u.company, u.sub, u.scope, u.password_hash, u.credentials,
       u.registration_date, u.last_activity, u.metadata, u.email_verified_at, u.disabled, u.version
FROM (SELECT login_key FROM (
          SELECT login_key FROM pieces
          WHERE tenant = (SELECT number FROM searched_tenants WHERE tenant_id = :tenant_id)
          AND piece >= :piece AND piece < :beyond
          UNION SELECT login_key FROM pieces
          WHERE tenant = (SELECT number FROM searched_tenants WHERE tenant_id = :tenant_id) AND piece = ''
          UNION SELECT login_key FROM unindexed WHERE tenant_id = :tenant_id) AS candidates
      WHERE login_key > :after AND login_key LIKE :pattern ESCAPE '\'
      ORDER BY login_key LIMIT :limit) AS found
JOIN users u ON u.tenant_id = :tenant_id AND u.login_key = found.login_key
ORDER BY u.login_key

-- name: tenants_to_index
SELECT t.tenant_id, t.taken,
       (SELECT count(*) FROM (SELECT 1 FROM unindexed u WHERE u.tenant_id = t.tenant_id LIMIT :enough) AS waiting)
FROM searched_tenants t WHERE t.tenant_id > :after ORDER BY t.tenant_id LIMIT :limit

-- name: take_over
INSERT INTO unindexed (tenant_id, login_key)
SELECT tenant_id, login_key FROM (
    SELECT tenant_id, login_key FROM users
    WHERE tenant_id = :tenant_id AND login_key > :after AND login_key <= :last FOR KEY SHARE) AS existing
WHERE tenant_id = :tenant_id
ON CONFLICT DO NOTHING

-- name: note_taken
UPDATE searched_tenants SET taken = CAST(:taken AS TEXT) WHERE tenant_id = :tenant_id AND taken = :after

-- name: index_logins
-- A login of more than 100 characters has one fragment, the empty one, which every search reads.
INSERT INTO pieces (tenant, piece, login_key)
WITH RECURSIVE places (login_key, at) AS (
    SELECT login_key, 1 FROM (
        SELECT login_key FROM unindexed WHERE tenant_id = :tenant_id ORDER BY login_key LIMIT :limit FOR UPDATE) AS waiting
    UNION ALL
    SELECT login_key, at + 1 FROM places WHERE at < length(login_key) AND length(login_key) <= 100)
SELECT DISTINCT t.number, CASE WHEN length(login_key) <= 100 THEN substr(login_key, at, 6) ELSE '' END, login_key
FROM places, searched_tenants t WHERE t.tenant_id = :tenant_id
ON CONFLICT DO NOTHING

-- name: forget_indexed
-- Removes only logins that have fragments, since others may have been added meanwhile. A count, because a server without
-- statistics turns EXISTS into a join that reads all fragments of the tenant.
DELETE FROM unindexed WHERE tenant_id = :tenant_id
AND login_key IN (SELECT login_key FROM unindexed WHERE tenant_id = :tenant_id ORDER BY login_key LIMIT :limit)
AND (SELECT count(*) FROM pieces p WHERE p.tenant = (SELECT number FROM searched_tenants WHERE tenant_id = :tenant_id)
     AND p.piece = CASE WHEN length(unindexed.login_key) <= 100 THEN substr(unindexed.login_key, 1, 6) ELSE '' END
     AND p.login_key = unindexed.login_key) = 1
RETURNING login_key
