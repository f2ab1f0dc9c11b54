-- Sessions, their epochs, and policies.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: lock_epoch
-- Draws an owner's epoch unless it has one. The update without effect locks the row, so logins of one owner queue here.
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
-- Sessions revoked with their realm still have rows, which are removed before any live session.
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
-- Moves a live session to the epoch that `renew_epoch` sets next; the row of the epoch is locked.
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
-- CROSS JOIN keeps this order in SQLite, which would scan all sessions otherwise to find those of few owners.
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
