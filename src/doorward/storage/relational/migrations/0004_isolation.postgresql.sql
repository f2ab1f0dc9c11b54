-- Row-level security, in addition to the condition on tenant_id of every statement: a statement on users sees only those
-- of the tenant, or the single users, that the transaction was opened for.

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY isolation ON users USING (
    tenant_id = current_setting('doorward.tenant', true)
    OR id = ANY (string_to_array(current_setting('doorward.users', true), ',')));

-- Hash of an audit log entry; on SQLite the program computes it.
CREATE FUNCTION chain_hash(previous TEXT, entry TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT
AS 'SELECT encode(sha256(convert_to(previous || chr(10) || entry, ''UTF8'')), ''hex'')';
