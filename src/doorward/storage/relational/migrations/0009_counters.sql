-- The realm of a counter whose name belongs to no account, as a pseudonym; empty for the counter of an account.

ALTER TABLE attempts ADD COLUMN unknown_in TEXT NOT NULL DEFAULT '';

CREATE INDEX attempts_of_unknown_names ON attempts (unknown_in) WHERE unknown_in <> '';

-- Number of users of a tenant, counted where MAX_USERS_PER_TENANT is set. `counted_at` is 0 before the first count.

CREATE TABLE user_counts (
    tenant_id  TEXT PRIMARY KEY,
    number     BIGINT NOT NULL,
    counted_at BIGINT NOT NULL
) ${CLUSTERED};

-- Bytes of all entries of an audit trail, and of its failed logins. NULL: not counted yet. `unrecorded` is the number of
-- failed logins since `unrecorded_since` that MAX_AUDIT_BYTES_PER_TENANT left no room for.

ALTER TABLE audit_chains ADD COLUMN bytes BIGINT;
ALTER TABLE audit_chains ADD COLUMN failed_login_bytes BIGINT;
ALTER TABLE audit_chains ADD COLUMN unrecorded BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_chains ADD COLUMN unrecorded_since BIGINT;

-- Probe rows: written to test whether the database accepts writes, with the time.

CREATE TABLE probes (
    name TEXT PRIMARY KEY,
    at   BIGINT NOT NULL
) ${CLUSTERED};

-- The shortest idle time that can be chosen; it was a second.

UPDATE epochs SET idle = 5000 WHERE idle < 5000;
