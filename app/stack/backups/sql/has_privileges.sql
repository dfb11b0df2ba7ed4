-- May this role do anything with any table?
SELECT EXISTS (SELECT FROM information_schema.role_table_grants WHERE grantee = :role)
