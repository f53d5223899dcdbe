-- Sessions of a group, by what they do.
count(*) FILTER (WHERE state IN ('active', 'fastpath function call')) AS active,
count(*) FILTER (WHERE state = 'idle') AS idle,
count(*) FILTER (WHERE state = 'idle in transaction') AS idle_in_transaction,
count(*) FILTER (WHERE state = 'idle in transaction (aborted)') AS aborted,
count(*) FILTER (WHERE state IS NULL OR state NOT IN ('active', 'fastpath function call', 'idle',
    'idle in transaction', 'idle in transaction (aborted)')) AS hidden,
CAST(extract(epoch FROM pg_catalog.clock_timestamp() - min(query_start)
    FILTER (WHERE state IN ('active', 'fastpath function call'))) AS float8) AS longest_query,
CAST(extract(epoch FROM pg_catalog.clock_timestamp() - min(xact_start)) AS float8) AS longest_transaction
