-- The sessions of all clients. $1, $2: the application names of automation and ad-hoc. Where the server hides what a session
-- is, its role and database are still shown, and only sessions have both.
WITH session AS (
    SELECT
        CASE
            WHEN a.application_name = ANY ($1) THEN 'automation'
            WHEN a.application_name = ANY ($2) THEN 'adhoc'
        END AS tier,
        CASE
            WHEN a.backend_type IS NULL THEN 'not shown'
            ELSE coalesce(pg_catalog.host(a.client_addr), 'local socket')
        END AS host,
        a.usesysid,
        a.datid,
        CAST(coalesce(a.usename, '') AS text) AS usename,
        coalesce(a.application_name, '') AS application_name,
        a.wait_event_type,
        -- The statement that asks is none of the application's.
        CASE WHEN a.pid = pg_catalog.pg_backend_pid() THEN 'idle' ELSE a.state END AS state,
        CASE WHEN a.pid <> pg_catalog.pg_backend_pid() THEN a.query_start END AS query_start,
        CASE WHEN a.pid <> pg_catalog.pg_backend_pid() THEN a.xact_start END AS xact_start
    FROM pg_catalog.pg_stat_activity a
    WHERE a.backend_type = 'client backend'
        OR (a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL)
)
