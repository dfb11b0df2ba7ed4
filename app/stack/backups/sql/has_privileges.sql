-- Has this role a privilege on any table?
SELECT EXISTS (SELECT FROM information_schema.role_table_grants WHERE grantee = :role)
