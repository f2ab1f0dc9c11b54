-- A second wall between tenants, behind the condition on tenant_id that every statement has anyway: whoever runs a
-- statement on users sees only those of the tenant, or only those single users, that the transaction was opened for.

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY isolation ON users USING (
    tenant_id = current_setting('doorward.tenant', true)
    OR id = ANY (string_to_array(current_setting('doorward.users', true), ',')));

-- The hash of an entry of the audit log, as the embedded database computes it in the program.
CREATE FUNCTION chain_hash(previous TEXT, entry TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT
AS 'SELECT encode(sha256(convert_to(previous || chr(10) || entry, ''UTF8'')), ''hex'')';
