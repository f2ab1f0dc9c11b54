-- Every statement, named; one text for SQLite and PostgreSQL. `:name` is a parameter, `IN (:name)` a list of any length.
-- A parameter that is only calculated with says once what it is: CAST(:name AS BIGINT).

-- name: write_probe
INSERT INTO probes (name, at) VALUES (:name, :now) ON CONFLICT (name) DO UPDATE SET at = excluded.at

-- name: probe
SELECT at FROM probes WHERE name = :name

-- name: replace_probe
UPDATE probes SET at = :now WHERE name = :name AND at = :written RETURNING name

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
-- No canonical address looks like this one, since an address holds an at sign.
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

-- name: user_count
SELECT number, counted_at FROM user_counts WHERE tenant_id = :tenant_id

-- name: reserve_users
-- The row stays locked until the transaction ends, so creations of one tenant pass the guard one after the other.
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
-- With no places, a lock on the tenant's count; a row that was not there is counted before it is used.
INSERT INTO user_counts (tenant_id, number, counted_at) VALUES (:tenant_id, 0, 0)
ON CONFLICT (tenant_id) DO UPDATE SET number = user_counts.number - CAST(:places AS BIGINT)

-- name: count_users
UPDATE user_counts SET number = (SELECT count(*) FROM users WHERE tenant_id = :tenant_id), counted_at = :now
WHERE tenant_id = :tenant_id AND (counted_at <= :before OR counted_at > :latest)

-- name: forget_user_counts
DELETE FROM user_counts

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

-- name: login_ahead
-- The login so many steps after another one; none where the tenant has not as many.
SELECT login_key FROM users WHERE tenant_id = :tenant_id AND login_key > :after ORDER BY login_key LIMIT 1 OFFSET :steps

-- name: walk_users
-- What is looked through is in an index; whole rows are read of those only that are found.
SELECT u.id, u.tenant_id, u.login, u.email, u.company, u.sub, u.scope, u.password_hash, u.credentials,
       u.registration_date, u.last_activity, u.metadata, u.email_verified_at, u.disabled, u.version
FROM (SELECT login_key FROM users
      WHERE tenant_id = :tenant_id AND login_key > :after AND login_key <= :last AND login_key LIKE :pattern ESCAPE '\'
      ORDER BY login_key LIMIT :limit) AS found
JOIN users u ON u.tenant_id = :tenant_id AND u.login_key = found.login_key
ORDER BY u.login_key

-- name: count_candidates
-- How many rows `search_users` would read, counted up to a limit; none where users from before are still to be taken over.
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
-- A login of more than 100 characters has one piece, the empty one, which every search reads.
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
-- Only what has its pieces: a login may have been added since, between those that have. A count, since no server makes
-- a join of it, for which it would read all pieces of a tenant while it knows nothing of the table yet.
DELETE FROM unindexed WHERE tenant_id = :tenant_id
AND login_key IN (SELECT login_key FROM unindexed WHERE tenant_id = :tenant_id ORDER BY login_key LIMIT :limit)
AND (SELECT count(*) FROM pieces p WHERE p.tenant = (SELECT number FROM searched_tenants WHERE tenant_id = :tenant_id)
     AND p.piece = CASE WHEN length(unindexed.login_key) <= 100 THEN substr(unindexed.login_key, 1, 6) ELSE '' END
     AND p.login_key = unindexed.login_key) = 1
RETURNING login_key

-- name: change_user
-- Of two that take one login at once, PostgreSQL's unique index fails one, which is run again and then finds it taken.
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

-- name: lock_epoch
-- Draws an owner's epoch unless it has one; the update that changes nothing makes openings of one owner queue up here.
INSERT INTO epochs (owner, epoch) VALUES (:owner, :fresh) ON CONFLICT (owner) DO UPDATE SET epoch = epochs.epoch

-- name: draw_epoch
INSERT INTO epochs (owner, epoch, idle, lifetime) VALUES (:owner, :fresh, :idle, :lifetime) ON CONFLICT DO NOTHING

-- name: demand
INSERT INTO epochs (owner, epoch, idle, lifetime) VALUES (:owner, :fresh, :idle, :lifetime)
ON CONFLICT (owner) DO UPDATE SET idle = excluded.idle, lifetime = excluded.lifetime

-- name: open_session
INSERT INTO sessions (id, kind, tenant_id, user_id, device_id, key, created_at, expires_at,
                      seen_at, generation, refreshed_at, permissions, ip, user_agent, owner, epoch, realm, realm_epoch)
SELECT :id, :kind, :tenant_id, :user_id, :device_id, :key, :created_at, :expires_at,
       :seen_at, :generation, :refreshed_at, :permissions, :ip, :user_agent, o.owner, o.epoch, r.owner, r.epoch
FROM epochs o, epochs r WHERE o.owner = :owner AND r.owner = :realm
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, realm_epoch = excluded.realm_epoch
RETURNING id

-- name: adopt_session
UPDATE sessions SET tenant_id = :tenant_id, realm = :realm,
    realm_epoch = (SELECT epoch FROM epochs WHERE owner = :realm)
WHERE id = :id AND tenant_id = ''

-- name: evict_sessions
-- Sessions that ended with their realm still have their rows; they go before any live one.
DELETE FROM sessions WHERE id IN (
    SELECT s.id FROM sessions s
    LEFT JOIN epochs r ON r.owner = s.realm AND r.epoch = s.realm_epoch
    WHERE s.owner = :owner AND s.epoch = (SELECT epoch FROM epochs WHERE owner = :owner)
    ORDER BY CASE WHEN r.owner IS NULL THEN 1 ELSE 0 END, CASE WHEN s.created_at > :latest THEN 1 ELSE 0 END,
             s.created_at DESC, s.id DESC
    LIMIT 1000000000 OFFSET :cap)

-- name: find_sessions
SELECT s.id, s.kind, s.tenant_id, s.user_id, s.device_id, s.key, s.created_at, s.expires_at,
       s.seen_at, s.generation, s.refreshed_at, s.permissions, r.idle, r.lifetime
FROM sessions s
JOIN epochs o ON o.owner = s.owner AND o.epoch = s.epoch
JOIN epochs r ON r.owner = s.realm AND r.epoch = s.realm_epoch
WHERE s.id IN (:ids)

-- name: list_sessions
SELECT s.id, s.kind, s.tenant_id, s.user_id, s.device_id, s.key, s.created_at, s.expires_at,
       s.seen_at, s.generation, s.refreshed_at, s.permissions, r.idle, r.lifetime, s.ip, s.user_agent
FROM sessions s
JOIN epochs o ON o.owner = s.owner AND o.epoch = s.epoch
JOIN epochs r ON r.owner = s.realm AND r.epoch = s.realm_epoch
WHERE s.owner = :owner
ORDER BY s.created_at DESC, s.id DESC LIMIT :limit

-- name: rotate_session
UPDATE sessions SET generation = generation + 1, refreshed_at = :now, seen_at = :now
WHERE id = :id AND generation = :generation AND EXISTS (
    SELECT 1 FROM epochs o, epochs r
    WHERE o.owner = sessions.owner AND o.epoch = sessions.epoch AND r.owner = sessions.realm AND r.epoch = sessions.realm_epoch)
RETURNING id

-- name: touch_session
UPDATE sessions SET seen_at = :seen WHERE id = :id AND (seen_at < :seen OR seen_at > :latest)

-- name: close_session
DELETE FROM sessions WHERE id = :id AND EXISTS (
    SELECT 1 FROM epochs o, epochs r
    WHERE o.owner = sessions.owner AND o.epoch = sessions.epoch AND r.owner = sessions.realm AND r.epoch = sessions.realm_epoch)
RETURNING id

-- name: end_owner
DELETE FROM epochs WHERE owner = :owner

-- name: renew_epoch
UPDATE epochs SET epoch = :fresh WHERE owner = :owner

-- name: keep_session
-- Moves a live session to the epoch that `renew_epoch` is about to set; the epoch's row is locked already.
UPDATE sessions SET epoch = :fresh
WHERE id = :id AND owner = :owner AND epoch = (SELECT epoch FROM epochs WHERE owner = :owner)

-- name: keep_realm
-- A tenant's own session has the same epoch for owner and realm.
UPDATE sessions SET realm_epoch = :fresh WHERE id = :id AND owner = :owner AND realm = :owner AND epoch = :fresh

-- name: note_ended
INSERT INTO ended (owner) VALUES (:owner) ON CONFLICT DO NOTHING

-- name: forget_sessions
DELETE FROM sessions WHERE owner = :owner

-- name: sweep_expired_sessions
DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= :now LIMIT :limit) RETURNING id

-- name: sweep_ended_sessions
-- CROSS JOIN, since SQLite would go through all sessions to find those of the few owners in `ended`; it keeps this order.
DELETE FROM sessions WHERE id IN (
    SELECT s.id FROM ended
    CROSS JOIN sessions s
    LEFT JOIN epochs e ON e.owner = s.owner AND e.epoch = s.epoch
    WHERE s.owner = ended.owner AND e.owner IS NULL LIMIT :limit)
RETURNING id

-- name: forget_ended
DELETE FROM ended WHERE NOT EXISTS (
    SELECT 1 FROM sessions s
    LEFT JOIN epochs e ON e.owner = s.owner AND e.epoch = s.epoch
    WHERE s.owner = ended.owner AND e.owner IS NULL)

-- name: take
-- GCRA: full_at is when the budget will be full again; one more has to leave it within `burst` periods of now. Beyond
-- :furthest it does not count.
INSERT INTO budgets (key, full_at) VALUES (:key, CAST(:now AS BIGINT) + CAST(:period AS BIGINT))
ON CONFLICT (key) DO UPDATE
SET full_at = CASE WHEN budgets.full_at > :now AND budgets.full_at <= :now + CAST(:furthest AS BIGINT)
                   THEN budgets.full_at ELSE :now END + :period
WHERE CASE WHEN budgets.full_at > :now AND budgets.full_at <= :now + :furthest THEN budgets.full_at ELSE :now END + :period
    <= :now + :period * CAST(:burst AS BIGINT)
RETURNING full_at

-- name: budget
SELECT full_at FROM budgets WHERE key = :key

-- name: reserve
-- A block and a lease that lie further ahead than their own length, and :apart, do not count.
INSERT INTO attempts (key, failures, pending, lease_until, blocked_until, expires_at)
VALUES (:key, 0, 1, CAST(:now AS BIGINT) + CAST(:lease AS BIGINT), 0, :now + :lease)
ON CONFLICT (key) DO UPDATE
SET failures = CASE WHEN attempts.expires_at <= :now THEN 0 ELSE attempts.failures END,
    pending = CASE
        WHEN attempts.lease_until <= :now OR attempts.lease_until > :now + :lease + CAST(:apart AS BIGINT) THEN 1
        ELSE attempts.pending + 1 END,
    lease_until = :now + :lease,
    blocked_until = CASE WHEN attempts.expires_at <= :now THEN 0 ELSE attempts.blocked_until END,
    expires_at = CASE WHEN attempts.expires_at > :now + :lease THEN attempts.expires_at ELSE :now + :lease END
WHERE attempts.expires_at <= :now
   OR (attempts.failures < :max_failures
       AND (attempts.failures <= :free_attempts OR attempts.blocked_until <= :now OR attempts.blocked_until > :now + :apart + CASE
                WHEN attempts.failures > :free_attempts + CAST(:doublings AS BIGINT) THEN CAST(:max_wait AS BIGINT)
                ELSE CAST(:first_wait AS BIGINT) * (1 << CAST(attempts.failures - 1 - :free_attempts AS INTEGER)) END)
       AND (attempts.lease_until <= :now OR attempts.lease_until > :now + :lease + :apart
            OR attempts.pending = 0 OR attempts.pending < :free_attempts - attempts.failures))
RETURNING failures

-- name: attempts
SELECT failures, blocked_until FROM attempts WHERE key = :key

-- name: failures
SELECT failures, blocked_until, expires_at FROM attempts WHERE key = :key

-- name: settle
INSERT INTO attempts (key, failures, pending, lease_until, blocked_until, expires_at, unknown_in)
VALUES (:key, 1, 0, 0, 0, CAST(:now AS BIGINT) + CAST(:first_memory AS BIGINT), :unknown_in)
ON CONFLICT (key) DO UPDATE
SET failures = attempts.failures + 1,
    pending = CASE WHEN attempts.pending > 0 THEN attempts.pending - 1 ELSE 0 END,
    blocked_until = :now + CASE
        WHEN attempts.failures < CAST(:free_attempts AS BIGINT) THEN 0
        WHEN attempts.failures >= :free_attempts + CAST(:doublings AS BIGINT) THEN CAST(:max_wait AS BIGINT)
        ELSE CAST(:first_wait AS BIGINT) * (1 << CAST(attempts.failures - :free_attempts AS INTEGER)) END,
    expires_at = :now + CASE
        WHEN attempts.failures + 1 >= :max_failures THEN 100 * CAST(:max_memory AS BIGINT)
        WHEN :first_memory * (attempts.failures + 1) < :max_memory THEN :first_memory * (attempts.failures + 1)
        ELSE :max_memory END,
    unknown_in = excluded.unknown_in

-- name: release
UPDATE attempts SET pending = pending - 1 WHERE key = :key AND pending > 0

-- name: forget_last
DELETE FROM attempts WHERE key = :key AND pending <= 1

-- name: forget_failures
UPDATE attempts SET failures = 0, blocked_until = 0, pending = pending - 1 WHERE key = :key

-- name: clear_failures
-- Without a reservation the counter says nothing any more, and is swept.
UPDATE attempts SET failures = 0, blocked_until = 0,
    expires_at = CASE WHEN pending > 0 AND lease_until > :now THEN lease_until ELSE :now END
WHERE key = :key

-- name: hold_attempts
UPDATE attempts SET pending = 0 WHERE key = :key AND expires_at > :now RETURNING key

-- name: inherit_attempts
INSERT INTO attempts (key, failures, pending, lease_until, blocked_until, expires_at, unknown_in)
SELECT CAST(:key AS TEXT), failures, 0, 0, blocked_until, expires_at, unknown_in FROM attempts WHERE key = :former
ON CONFLICT (key) DO UPDATE
SET failures = excluded.failures + CASE
        WHEN attempts.expires_at > CAST(:now AS BIGINT) THEN attempts.failures ELSE 0 END,
    blocked_until = CASE
        WHEN attempts.blocked_until > excluded.blocked_until THEN attempts.blocked_until
        ELSE excluded.blocked_until END,
    expires_at = CASE
        WHEN attempts.expires_at > excluded.expires_at THEN attempts.expires_at ELSE excluded.expires_at END,
    unknown_in = CASE WHEN excluded.unknown_in = '' THEN '' ELSE attempts.unknown_in END

-- name: drop_attempts
DELETE FROM attempts WHERE key = :key

-- name: count_unknown
SELECT count(*) FROM attempts WHERE unknown_in = :realm AND unknown_in <> ''

-- name: evict_unknown
-- Behind the first :most stand those that go. What a counter expires at says when it failed last.
DELETE FROM attempts WHERE key IN (
    SELECT key FROM attempts WHERE unknown_in = :realm AND unknown_in <> ''
    ORDER BY CASE WHEN expires_at - CAST(:first_memory AS BIGINT) * failures > :fresh THEN 0 ELSE 1 END,
             failures DESC, expires_at
    LIMIT :limit OFFSET :most)
RETURNING key

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

-- name: last_import
SELECT begun_at FROM imports WHERE source = :source

-- name: note_import
INSERT INTO imports (source, begun_at) VALUES (:source, :begun_at)
ON CONFLICT (source) DO UPDATE SET begun_at = excluded.begun_at WHERE imports.begun_at < excluded.begun_at

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
-- The row stays until it expires, so that a code which is put back can tell whether a newer one took its place.
UPDATE reset_codes SET digest = :spent WHERE tenant_id = :tenant_id AND digest = :digest
RETURNING tenant_id, user_id, credentials, expires_at

-- name: put_back_reset_code
UPDATE reset_codes SET digest = :digest WHERE tenant_id = :tenant_id AND user_id = :user_id AND digest = :spent

-- name: forget_reset_codes
DELETE FROM reset_codes WHERE user_id = :id

-- name: sweep_reset_codes
DELETE FROM reset_codes WHERE user_id IN (SELECT user_id FROM reset_codes WHERE expires_at <= :now LIMIT :limit)
RETURNING user_id

-- name: lengthen_chain
INSERT INTO audit_chains (tenant_id, number, hash, base_number, base_hash)
VALUES (:tenant_id, 1, chain_hash('', :entry), 0, '')
ON CONFLICT (tenant_id) DO UPDATE
SET number = audit_chains.number + 1, hash = chain_hash(audit_chains.hash, :entry),
    bytes = audit_chains.bytes + CAST(:size AS BIGINT),
    failed_login_bytes = audit_chains.failed_login_bytes + CAST(:failed_login_size AS BIGINT)

-- name: lengthen_chain_within
-- For a failed login: nothing is written where all failed logins of the chain would take more than :most bytes.
INSERT INTO audit_chains (tenant_id, number, hash, base_number, base_hash)
VALUES (:tenant_id, 1, chain_hash('', :entry), 0, '')
ON CONFLICT (tenant_id) DO UPDATE
SET number = audit_chains.number + 1, hash = chain_hash(audit_chains.hash, :entry),
    bytes = audit_chains.bytes + CAST(:size AS BIGINT),
    failed_login_bytes = audit_chains.failed_login_bytes + CAST(:failed_login_size AS BIGINT)
WHERE audit_chains.failed_login_bytes IS NULL OR audit_chains.failed_login_bytes + :failed_login_size <= :most
RETURNING tenant_id

-- name: note_unrecorded
UPDATE audit_chains SET unrecorded = unrecorded + 1, unrecorded_since = COALESCE(unrecorded_since, :at)
WHERE tenant_id = :tenant_id

-- name: take_unrecorded
UPDATE audit_chains SET unrecorded = unrecorded - :count,
    unrecorded_since = CASE WHEN unrecorded > :count THEN CAST(:now AS BIGINT) ELSE NULL END
WHERE tenant_id = :tenant_id AND unrecorded >= :count AND unrecorded_since = :since
RETURNING tenant_id

-- name: add_entry
INSERT INTO audit (tenant_id, number, at, entry, hash)
SELECT tenant_id, number, :at, :entry, hash FROM audit_chains WHERE tenant_id = :tenant_id

-- name: page_audit
SELECT number, at, entry, hash FROM audit
WHERE tenant_id = :tenant_id AND number < :before ORDER BY number DESC LIMIT :limit

-- name: follow_audit
SELECT number, at, entry, hash FROM audit
WHERE tenant_id = :tenant_id AND number > :after ORDER BY number LIMIT :limit

-- name: audit_base
SELECT base_number, base_hash FROM audit_chains WHERE tenant_id = :tenant_id

-- name: audit_head
SELECT number, hash FROM audit_chains WHERE tenant_id = :tenant_id

-- name: audit_chains
SELECT tenant_id FROM audit_chains WHERE tenant_id > :after ORDER BY tenant_id LIMIT :limit

-- name: old_entries
-- A clock may have been set back, so an old entry may lie behind a young one; then it stays as long as that.
SELECT tenant_id, max(number) FROM (
    SELECT old.tenant_id, old.number FROM audit old
    WHERE old.at < :before AND NOT EXISTS (
        SELECT 1 FROM audit young
        WHERE young.tenant_id = old.tenant_id AND young.number < old.number AND young.at >= :before)
    ORDER BY old.at LIMIT :limit) AS oldest
GROUP BY tenant_id

-- name: page_chains
SELECT tenant_id, base_number, number, bytes, failed_login_bytes, unrecorded, unrecorded_since
FROM audit_chains WHERE tenant_id > :after ORDER BY tenant_id LIMIT :limit

-- name: size_of_entries
-- The parameter :trail names a tenant without taking part in its share of long reads: a sweep waits for no tenant.
SELECT COALESCE(sum(octet_length(entry)), 0),
    COALESCE(sum(CASE WHEN entry LIKE '%.login","outcome":"failure"%' THEN octet_length(entry) ELSE 0 END), 0)
FROM audit WHERE tenant_id = :trail AND number > :after AND number <= :last

-- name: sizes_of_oldest
SELECT number, octet_length(entry) FROM audit
WHERE tenant_id = :trail AND number > :after ORDER BY number LIMIT :limit

-- name: lock_chain
SELECT number FROM audit_chains WHERE tenant_id = :tenant_id FOR UPDATE

-- name: count_chain
-- With the entries that were added since the others were counted; not where some were removed since.
UPDATE audit_chains
SET bytes = CAST(:bytes AS BIGINT) + (
        SELECT COALESCE(sum(octet_length(entry)), 0) FROM audit WHERE tenant_id = :tenant_id AND number > :last),
    failed_login_bytes = CAST(:failed_login_bytes AS BIGINT) + (
        SELECT COALESCE(sum(octet_length(entry)), 0) FROM audit
        WHERE tenant_id = :tenant_id AND number > :last AND entry LIKE '%.login","outcome":"failure"%')
WHERE tenant_id = :tenant_id AND base_number = :base

-- name: move_base
UPDATE audit_chains SET base_number = :number,
    base_hash = (SELECT hash FROM audit WHERE tenant_id = :tenant_id AND number = :number),
    bytes = CASE WHEN bytes IS NULL THEN NULL ELSE bytes - (
        SELECT COALESCE(sum(octet_length(old.entry)), 0) FROM audit old
        WHERE old.tenant_id = :tenant_id AND old.number > audit_chains.base_number AND old.number <= :number) END,
    failed_login_bytes = CASE WHEN failed_login_bytes IS NULL THEN NULL ELSE failed_login_bytes - (
        SELECT COALESCE(sum(octet_length(old.entry)), 0) FROM audit old
        WHERE old.tenant_id = :tenant_id AND old.number > audit_chains.base_number AND old.number <= :number
        AND old.entry LIKE '%.login","outcome":"failure"%') END
WHERE tenant_id = :tenant_id AND base_number < :number

-- name: sweep_audit
DELETE FROM audit WHERE tenant_id = :tenant_id AND number <= :number RETURNING number
