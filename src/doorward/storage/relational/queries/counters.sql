-- Rate limits and failed attempts.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: take
-- GCRA: full_at is when the budget will be full again; it has to stay within `burst` periods of now. A value beyond
-- :furthest is ignored.
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
-- A block or lease further ahead than its own length plus :apart is ignored.
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
-- Without a reservation the counter is empty, and is swept.
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
-- Evicts the counters after the first :most. The expiry of a counter shows when it failed last.
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
