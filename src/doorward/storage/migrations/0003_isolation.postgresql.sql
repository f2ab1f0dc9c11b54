-- A second wall between tenants, behind the condition on tenant_id that every statement has anyway: whoever runs a
-- statement on users sees only those of the tenant, or only those single users, that the transaction was opened for.

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY isolation ON users USING (
    tenant_id = current_setting('doorward.tenant', true)
    OR id = ANY (string_to_array(current_setting('doorward.users', true), ',')));
