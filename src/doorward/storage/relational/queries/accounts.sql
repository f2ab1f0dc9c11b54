-- Tenants and users, and the removal of deleted tenants.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: add_tenant
INSERT INTO tenants (id, email, email_key, password_hash, credentials, created_at, settings)
VALUES (:id, :email, :email_key, :password_hash, :credentials, :created_at, :settings)
ON CONFLICT DO NOTHING
RETURNING id

-- name: tenant_by_email
SELECT id, email, password_hash, credentials, created_at, settings, disabled, version
FROM tenants WHERE email_key = :email_key

-- name: tenant_by_id
SELECT id, email, password_hash, credentials, created_at, settings, disabled, version
FROM tenants WHERE id = :id AND NOT EXISTS (SELECT 1 FROM departed WHERE tenant_id = :id)

-- name: list_tenants
SELECT id, email, password_hash, credentials, created_at, settings, disabled, version
FROM tenants WHERE email_key > :after AND NOT EXISTS (SELECT 1 FROM departed WHERE tenant_id = tenants.id)
ORDER BY email_key LIMIT :limit

-- name: set_tenant_hash
UPDATE tenants SET password_hash = :password_hash, version = version + 1
WHERE id = :id AND credentials = :credentials
RETURNING id

-- name: change_tenant
UPDATE tenants
SET password_hash = :password_hash, credentials = :credentials, settings = :settings, disabled = :disabled,
    version = version + 1
WHERE id = :id AND version = :version AND NOT EXISTS (SELECT 1 FROM departed WHERE tenant_id = :id)
RETURNING id

-- name: delete_tenant
INSERT INTO departed (tenant_id) SELECT id FROM tenants WHERE id = :id ON CONFLICT DO NOTHING RETURNING tenant_id

-- name: blank_tenant
-- No canonical address equals this key, since every address contains an at sign.
UPDATE tenants
SET email = '', email_key = 'departed:' || id, password_hash = '', settings = '{}', disabled = 1,
    credentials = credentials + 1, version = version + 1
WHERE id = :id

-- name: departed
SELECT tenant_id FROM departed ORDER BY tenant_id LIMIT 1

-- name: departed_users
SELECT id FROM users WHERE tenant_id = :tenant_id ORDER BY id LIMIT :limit

-- name: purge_users
DELETE FROM users WHERE tenant_id = :tenant_id AND id <= :last RETURNING id

-- name: purge_audit
DELETE FROM audit WHERE tenant_id = :tenant_id
AND number IN (SELECT number FROM audit WHERE tenant_id = :tenant_id LIMIT :limit)
RETURNING number

-- name: purge_api_keys
DELETE FROM api_keys WHERE tenant_id = :tenant_id

-- name: purge_reset_codes
DELETE FROM reset_codes WHERE tenant_id = :tenant_id

-- name: purge_user_count
DELETE FROM user_counts WHERE tenant_id = :tenant_id

-- name: purge_chain
DELETE FROM audit_chains WHERE tenant_id = :tenant_id

-- name: purge_realm
DELETE FROM epochs WHERE owner = 'users:' || :tenant_id

-- name: purge_tenant
DELETE FROM tenants WHERE id = :tenant_id

-- name: purge_departed
DELETE FROM departed WHERE tenant_id = :tenant_id

-- name: add_user
INSERT INTO users (id, tenant_id, login, login_key, email, email_key, company, sub, scope,
                   password_hash, credentials, registration_date, last_activity, metadata, email_verified_at,
                   disabled, version)
VALUES (:id, :tenant_id, :login, :login_key, :email, :email_key, :company, :sub, :scope,
        :password_hash, :credentials, :registration_date, :last_activity, :metadata, :email_verified_at,
        :disabled, 1)
ON CONFLICT DO NOTHING
RETURNING id

-- name: put_user
INSERT INTO users (id, tenant_id, login, login_key, email, email_key, company, sub, scope,
                   password_hash, credentials, registration_date, last_activity, metadata, email_verified_at,
                   disabled, version)
VALUES (:id, :tenant_id, :login, :login_key, :email, :email_key, :company, :sub, :scope,
        :password_hash, :credentials, :registration_date, :last_activity, :metadata, :email_verified_at,
        :disabled, 1)
ON CONFLICT (tenant_id, login_key) DO UPDATE
SET login = excluded.login, email = excluded.email, email_key = excluded.email_key, company = excluded.company, sub = excluded.sub,
    scope = excluded.scope, password_hash = excluded.password_hash, credentials = users.credentials + 1,
    metadata = excluded.metadata, version = users.version + 1,
    email_verified_at = CASE WHEN users.email = excluded.email AND CAST(:keep_verified AS BIGINT) = 1
        THEN COALESCE(users.email_verified_at, excluded.email_verified_at) ELSE excluded.email_verified_at END
RETURNING id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity,
          metadata, email_verified_at, disabled, version

-- name: user_by_login
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity,
       metadata, email_verified_at, disabled, version
FROM users WHERE tenant_id = :tenant_id AND login_key = :login_key

-- name: user_by_id
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity,
       metadata, email_verified_at, disabled, version
FROM users WHERE id = :id AND tenant_id = :tenant_id

-- name: tenants_of_users
SELECT id, tenant_id FROM users WHERE id IN (:ids)

-- name: list_users
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity,
       metadata, email_verified_at, disabled, version
FROM users WHERE tenant_id = :tenant_id AND login_key >= :first AND login_key < :beyond
ORDER BY login_key LIMIT :limit

-- name: users_by_email
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity,
       metadata, email_verified_at, disabled, version
FROM users WHERE tenant_id = :tenant_id AND email_key = :email_key AND login_key > :after
ORDER BY login_key LIMIT :limit

-- name: users_by_sub
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity,
       metadata, email_verified_at, disabled, version
FROM users WHERE tenant_id = :tenant_id AND sub = :sub AND login_key > :after
ORDER BY login_key LIMIT :limit

-- name: list_password_hashes
SELECT password_hash FROM users WHERE tenant_id = :tenant_id AND login_key > :after ORDER BY login_key LIMIT :limit

-- name: change_user
-- Of two concurrent changes to one login, PostgreSQL's unique index rejects one, which is retried and finds it taken.
UPDATE users
SET login = :login, login_key = :login_key, email = :email, email_key = :email_key, company = :company, sub = :sub,
    scope = :scope, password_hash = :password_hash, credentials = :credentials, metadata = :metadata,
    email_verified_at = :email_verified_at, disabled = :disabled, version = version + 1
WHERE id = :id AND tenant_id = :tenant_id AND version = :version
  AND NOT EXISTS (SELECT 1 FROM users other
                  WHERE other.tenant_id = :tenant_id AND other.login_key = :login_key AND other.id <> :id)
RETURNING id

-- name: set_user_hash
UPDATE users SET password_hash = :password_hash, version = version + 1
WHERE id = :id AND tenant_id = :tenant_id AND credentials = :credentials
RETURNING id

-- name: delete_user
DELETE FROM users WHERE id = :id AND tenant_id = :tenant_id RETURNING id

-- name: touch_user
UPDATE users SET last_activity = :seen WHERE id = :id AND (last_activity < :seen OR last_activity > :latest)
