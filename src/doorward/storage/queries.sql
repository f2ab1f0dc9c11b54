-- Every statement, named; one text for SQLite and PostgreSQL. `:name` is a parameter.

-- name: ping
SELECT 1

-- name: add_tenant
INSERT INTO tenants (id, email, email_key, password_hash, credentials, created_at)
VALUES (:id, :email, :email_key, :password_hash, :credentials, :created_at)
ON CONFLICT DO NOTHING
RETURNING id

-- name: tenant_by_email
SELECT id, email, password_hash, credentials, created_at FROM tenants WHERE email_key = :email_key

-- name: tenant_by_id
SELECT id, email, password_hash, credentials, created_at FROM tenants WHERE id = :id

-- name: set_tenant_hash
UPDATE tenants SET password_hash = :password_hash WHERE id = :id AND credentials = :credentials RETURNING id

-- name: add_user
INSERT INTO users (id, tenant_id, login, login_key, email, company, sub, scope,
                   password_hash, credentials, registration_date, last_activity)
VALUES (:id, :tenant_id, :login, :login_key, :email, :company, :sub, :scope,
        :password_hash, :credentials, :registration_date, :last_activity)
ON CONFLICT DO NOTHING
RETURNING id

-- name: put_user
INSERT INTO users (id, tenant_id, login, login_key, email, company, sub, scope,
                   password_hash, credentials, registration_date, last_activity)
VALUES (:id, :tenant_id, :login, :login_key, :email, :company, :sub, :scope,
        :password_hash, :credentials, :registration_date, :last_activity)
ON CONFLICT (tenant_id, login_key) DO UPDATE
SET login = excluded.login, email = excluded.email, company = excluded.company, sub = excluded.sub,
    scope = excluded.scope, password_hash = excluded.password_hash, credentials = users.credentials + 1
RETURNING id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity

-- name: user_by_login
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity
FROM users WHERE tenant_id = :tenant_id AND login_key = :login_key

-- name: user_by_id
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity
FROM users WHERE id = :id AND tenant_id = :tenant_id

-- name: list_users
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity
FROM users WHERE tenant_id = :tenant_id AND login_key > :after
ORDER BY login_key LIMIT :limit

-- name: search_users
SELECT id, tenant_id, login, email, company, sub, scope, password_hash, credentials, registration_date, last_activity
FROM users WHERE tenant_id = :tenant_id AND login_key > :after AND login_key LIKE :pattern ESCAPE '\'
ORDER BY login_key LIMIT :limit

-- name: set_user_hash
UPDATE users SET password_hash = :password_hash
WHERE id = :id AND tenant_id = :tenant_id AND credentials = :credentials
RETURNING id

-- name: delete_user
DELETE FROM users WHERE id = :id AND tenant_id = :tenant_id RETURNING id

-- name: touch_user
UPDATE users SET last_activity = :seen WHERE id = :id AND last_activity < :seen

-- name: lock_epoch
-- Draws an owner's epoch unless it has one; the update that changes nothing makes openings of one owner queue up here.
INSERT INTO epochs (owner, epoch) VALUES (:owner, :fresh) ON CONFLICT (owner) DO UPDATE SET epoch = epochs.epoch

-- name: draw_epoch
INSERT INTO epochs (owner, epoch) VALUES (:owner, :fresh) ON CONFLICT DO NOTHING

-- name: open_session
INSERT INTO sessions (id, kind, tenant_id, user_id, device_id, key, created_at, expires_at,
                      owner, epoch, realm, realm_epoch)
SELECT :id, :kind, :tenant_id, :user_id, :device_id, :key, :created_at, :expires_at,
       o.owner, o.epoch, r.owner, r.epoch
FROM epochs o, epochs r WHERE o.owner = :owner AND r.owner = :realm
RETURNING id

-- name: evict_sessions
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions
    WHERE owner = :owner AND epoch = (SELECT epoch FROM epochs WHERE owner = :owner)
    ORDER BY created_at DESC, id DESC LIMIT 1000000000 OFFSET :cap)

-- name: find_session
SELECT s.id, s.kind, s.tenant_id, s.user_id, s.device_id, s.key, s.created_at, s.expires_at
FROM sessions s
JOIN epochs o ON o.owner = s.owner AND o.epoch = s.epoch
JOIN epochs r ON r.owner = s.realm AND r.epoch = s.realm_epoch
WHERE s.id = :id

-- name: find_sessions
-- Two look-ups by key in one reading: an IN of two values costs SQLite a table of its own, a seventh of the whole.
SELECT s.id, s.kind, s.tenant_id, s.user_id, s.device_id, s.key, s.created_at, s.expires_at
FROM sessions s
JOIN epochs o ON o.owner = s.owner AND o.epoch = s.epoch
JOIN epochs r ON r.owner = s.realm AND r.epoch = s.realm_epoch
WHERE s.id = :first
UNION ALL
SELECT s.id, s.kind, s.tenant_id, s.user_id, s.device_id, s.key, s.created_at, s.expires_at
FROM sessions s
JOIN epochs o ON o.owner = s.owner AND o.epoch = s.epoch
JOIN epochs r ON r.owner = s.realm AND r.epoch = s.realm_epoch
WHERE s.id = :second

-- name: close_session
DELETE FROM sessions WHERE id = :id RETURNING id

-- name: end_owner
DELETE FROM epochs WHERE owner = :owner

-- name: note_ended
INSERT INTO ended (owner) VALUES (:owner) ON CONFLICT DO NOTHING

-- name: sweep_expired_sessions
DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= :now LIMIT :limit) RETURNING id

-- name: sweep_ended_sessions
DELETE FROM sessions WHERE id IN (
    SELECT s.id FROM ended
    JOIN sessions s ON s.owner = ended.owner
    LEFT JOIN epochs e ON e.owner = s.owner AND e.epoch = s.epoch
    WHERE e.owner IS NULL LIMIT :limit)
RETURNING id

-- name: forget_ended
DELETE FROM ended WHERE NOT EXISTS (
    SELECT 1 FROM sessions s
    LEFT JOIN epochs e ON e.owner = s.owner AND e.epoch = s.epoch
    WHERE s.owner = ended.owner AND e.owner IS NULL)

-- name: take
-- GCRA: full_at is when the budget will be full again; one more has to leave it within `burst` periods of now.
INSERT INTO budgets (key, full_at) VALUES (:key, :now + :period)
ON CONFLICT (key) DO UPDATE
SET full_at = CASE WHEN budgets.full_at > :now THEN budgets.full_at ELSE :now END + :period
WHERE CASE WHEN budgets.full_at > :now THEN budgets.full_at ELSE :now END + :period <= :now + :period * :burst
RETURNING full_at

-- name: budget
SELECT full_at FROM budgets WHERE key = :key

-- name: reserve
INSERT INTO attempts (key, failures, pending, lease_until, blocked_until, expires_at)
VALUES (:key, 0, 1, :now + :lease, 0, :now + :lease)
ON CONFLICT (key) DO UPDATE
SET failures = CASE WHEN attempts.expires_at <= :now THEN 0 ELSE attempts.failures END,
    pending = CASE WHEN attempts.lease_until <= :now THEN 1 ELSE attempts.pending + 1 END,
    lease_until = :now + :lease,
    blocked_until = CASE WHEN attempts.expires_at <= :now THEN 0 ELSE attempts.blocked_until END,
    expires_at = CASE WHEN attempts.expires_at > :now + :lease THEN attempts.expires_at ELSE :now + :lease END
WHERE attempts.expires_at <= :now
   OR (attempts.blocked_until <= :now AND attempts.failures < :cap
       AND (attempts.lease_until <= :now OR attempts.pending = 0 OR attempts.pending < :free - attempts.failures))
RETURNING failures

-- name: attempts
SELECT failures, blocked_until FROM attempts WHERE key = :key

-- name: settle
INSERT INTO attempts (key, failures, pending, lease_until, blocked_until, expires_at)
VALUES (:key, 1, 0, 0, 0, :now + :memory)
ON CONFLICT (key) DO UPDATE
SET failures = attempts.failures + 1,
    pending = CASE WHEN attempts.pending > 0 THEN attempts.pending - 1 ELSE 0 END,
    blocked_until = :now + CASE
        WHEN attempts.failures < :free THEN 0
        WHEN attempts.failures >= :free + :doublings THEN :longest
        ELSE :first * (1 << CAST(attempts.failures - :free AS INTEGER)) END,
    expires_at = :now + CASE WHEN attempts.failures + 1 >= :cap THEN 100 * :memory ELSE :memory END

-- name: release
UPDATE attempts SET pending = pending - 1 WHERE key = :key AND pending > 0

-- name: forget_last
DELETE FROM attempts WHERE key = :key AND pending <= 1

-- name: forget_failures
UPDATE attempts SET failures = 0, blocked_until = 0, pending = pending - 1 WHERE key = :key

-- name: sweep_budgets
DELETE FROM budgets WHERE key IN (SELECT key FROM budgets WHERE full_at <= :now LIMIT :limit) RETURNING key

-- name: sweep_attempts
DELETE FROM attempts WHERE key IN (SELECT key FROM attempts WHERE expires_at <= :now LIMIT :limit) RETURNING key

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
