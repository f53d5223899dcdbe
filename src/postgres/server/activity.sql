-- One row for each tier and client host, one for all others; each with the limits. $3, $4: the roles of automation and
-- ad-hoc.
, sessions AS (
    SELECT
        tier,
        CASE WHEN tier IS NOT NULL THEN host END AS host,
        {counted}
    FROM session
    GROUP BY 1, 2
),
role AS (
    SELECT
        r.rolname,
        CAST(r.rolconnlimit AS int8) AS role_limit,
        (SELECT count(*) FROM session s WHERE s.usesysid = r.oid) AS in_use,
        r.rolsuper,
        -- The role is there from version 16 on.
        EXISTS (
            SELECT FROM pg_catalog.pg_roles g
            WHERE g.rolname = 'pg_use_reserved_connections' AND pg_catalog.pg_has_role(r.oid, g.oid, 'USAGE')
        ) AS may_use_reserved
    FROM pg_catalog.pg_roles r
),
-- A PgBouncer may connect as another role than it was asked for.
known AS (
    SELECT
        coalesce((SELECT rolname FROM role WHERE rolname = $3), session_user) AS automation,
        coalesce((SELECT rolname FROM role WHERE rolname = $4), session_user) AS adhoc
)
SELECT
    sessions.*,
    pg_catalog.clock_timestamp() AS asked_at,
    pg_catalog.current_setting('server_version') AS server_version,
    CAST(pg_catalog.current_setting('max_connections') AS int8) AS max_connections,
    CAST(pg_catalog.current_setting('superuser_reserved_connections') AS int8) AS superuser_reserved,
    CAST(nullif(pg_catalog.current_setting('reserved_connections', true), '') AS int8) AS reserved,
    (SELECT count(*) FROM session) AS in_use,
    d.datname AS database,
    CAST(d.datconnlimit AS int8) AS database_limit,
    (SELECT count(*) FROM session s WHERE s.datid = d.oid) AS database_in_use,
    m.rolname AS automation_role,
    m.role_limit AS automation_role_limit,
    m.in_use AS automation_role_in_use,
    m.rolsuper AS automation_is_superuser,
    m.may_use_reserved AS automation_may_use_reserved,
    h.rolname AS adhoc_role,
    h.role_limit AS adhoc_role_limit,
    h.in_use AS adhoc_role_in_use,
    h.rolsuper AS adhoc_is_superuser,
    h.may_use_reserved AS adhoc_may_use_reserved
FROM known
JOIN role m ON m.rolname = known.automation
JOIN role h ON h.rolname = known.adhoc
JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
LEFT JOIN sessions ON true
