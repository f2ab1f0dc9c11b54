-- The audit log and its chains.
-- One text for SQLite and PostgreSQL: `:name` is a parameter, `IN (:name)` a list of any length.

-- name: lengthen_chain
INSERT INTO audit_chains (tenant_id, number, hash, base_number, base_hash)
VALUES (:tenant_id, 1, chain_hash('', :entry), 0, '')
ON CONFLICT (tenant_id) DO UPDATE
SET number = audit_chains.number + 1, hash = chain_hash(audit_chains.hash, :entry),
    bytes = audit_chains.bytes + CAST(:size AS BIGINT),
    failed_login_bytes = audit_chains.failed_login_bytes + CAST(:failed_login_size AS BIGINT)

-- name: lengthen_chain_within
-- For a failed login: writes nothing if the failed logins of the chain would exceed :most bytes.
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
-- After the clock was set back, an old entry may follow a newer one; then it stays as long as that.
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
-- The parameter is :trail, not :tenant_id, so that a sweep does not use the tenant's share of scans.
SELECT COALESCE(sum(octet_length(entry)), 0),
    COALESCE(sum(CASE WHEN entry LIKE '%.login","outcome":"failure"%' THEN octet_length(entry) ELSE 0 END), 0)
FROM audit WHERE tenant_id = :trail AND number > :after AND number <= :last

-- name: sizes_of_oldest
SELECT number, octet_length(entry) FROM audit
WHERE tenant_id = :trail AND number > :after ORDER BY number LIMIT :limit

-- name: lock_chain
SELECT number FROM audit_chains WHERE tenant_id = :tenant_id FOR UPDATE

-- name: count_chain
-- Includes entries added since the count; has no effect if entries were removed since.
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
