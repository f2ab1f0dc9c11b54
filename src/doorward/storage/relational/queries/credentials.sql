-- API keys and reset codes.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: add_api_key
INSERT INTO api_keys (id, tenant_id, name, permissions, digest, created_at, expires_at)
SELECT :id, :tenant_id, :name, :permissions, :digest, :created_at, :expires_at
WHERE (SELECT count(*) FROM api_keys WHERE tenant_id = :tenant_id) < :cap
RETURNING id

-- name: list_api_keys
SELECT id, tenant_id, name, permissions, digest, created_at, expires_at, last_used
FROM api_keys WHERE tenant_id = :tenant_id ORDER BY created_at, id

-- name: find_api_key
SELECT k.id, k.tenant_id, k.name, k.permissions, k.digest, k.created_at, k.expires_at, k.last_used
FROM api_keys k JOIN tenants t ON t.id = k.tenant_id AND t.disabled = 0
WHERE k.tenant_id = :tenant_id AND k.id = :id

-- name: delete_api_key
DELETE FROM api_keys WHERE tenant_id = :tenant_id AND id = :id RETURNING id

-- name: touch_api_key
UPDATE api_keys SET last_used = :seen
WHERE id = :id AND (last_used IS NULL OR last_used < :seen OR last_used > :latest)

-- name: add_reset_code
INSERT INTO reset_codes (user_id, digest, tenant_id, credentials, expires_at)
VALUES (:user_id, :digest, :tenant_id, :credentials, :expires_at)
ON CONFLICT (user_id) DO UPDATE
SET digest = excluded.digest, tenant_id = excluded.tenant_id, credentials = excluded.credentials,
    expires_at = excluded.expires_at

-- name: take_reset_code
-- The row stays until it expires, so that a restored code can be compared with a newer one.
UPDATE reset_codes SET digest = :spent WHERE tenant_id = :tenant_id AND digest = :digest
RETURNING tenant_id, user_id, credentials, expires_at

-- name: put_back_reset_code
UPDATE reset_codes SET digest = :digest WHERE tenant_id = :tenant_id AND user_id = :user_id AND digest = :spent

-- name: forget_reset_codes
DELETE FROM reset_codes WHERE user_id = :id

-- name: sweep_reset_codes
DELETE FROM reset_codes WHERE user_id IN (SELECT user_id FROM reset_codes WHERE expires_at <= :now LIMIT :limit)
RETURNING user_id
