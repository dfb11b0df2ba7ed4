-- Which of our roles have a special attribute, or are members of another role?
WITH found AS (
    SELECT rolname AS id FROM pg_roles
    WHERE rolname IN (:service_role, :readonly_role)
        AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin)
    UNION ALL
    SELECT member.rolname || ' is ' || owner.rolname
    FROM pg_auth_members AS given
    JOIN pg_roles AS member ON member.oid = given.member
    JOIN pg_roles AS owner ON owner.oid = given.roleid
    WHERE member.rolname IN (:service_role, :readonly_role)
), counted AS (
    SELECT count(*) AS number FROM pg_roles WHERE rolname IN (:service_role, :readonly_role)
), {{ proof }}
