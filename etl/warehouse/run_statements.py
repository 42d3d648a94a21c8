"""
The statements that every run sends, as the driver takes them; `etl.warehouse.postgres` sends each as a transaction of its own.

A run that finds nothing new consists of little else: decision 65.
"""

from __future__ import annotations

from etl.runs.terms import Counters
from etl.warehouse.loading.fence import NOW
from etl.warehouse.tables import OPEN

IS_KNOWN = "SELECT 1 FROM sync.connections WHERE connection = %s"

# In the words of the index of running ones.
STANDS = f"""{NOW},
    (SELECT provider FROM sync.connections WHERE connection = %s),
    EXISTS (SELECT 1 FROM sync.runs WHERE connection = %s AND status = 'running')
"""  # noqa: S608 - words of ours
CRASHED = "UPDATE sync.runs SET status = 'crashed', finished_at = %s WHERE connection = %s AND status = 'running'"
OPEN_RUN = """
INSERT INTO sync.runs (connection, kind, trigger, status, started_at) VALUES (%s, %s, %s, 'running', %s) RETURNING id
"""
OWN = """
INSERT INTO sync.connections (connection, provider, owner_run, agents_are_people) VALUES (%s, %s, %s, %s)
ON CONFLICT (connection) DO UPDATE SET owner_run = excluded.owner_run, agents_are_people = excluded.agents_are_people
"""
FOUND = """
SELECT EXISTS (SELECT 1 FROM sync.rejected_records r WHERE r.connection = c.connection AND r.resolved_at IS NULL),
    c.erasures = 0 AND EXISTS (SELECT 1 FROM sync.erasures)
FROM sync.connections c WHERE c.connection = %s
"""
LEARN_OF_ERASURES = "UPDATE sync.connections SET erasures = 1 WHERE connection = %s AND erasures = 0"
REMEMBERED = """
SELECT c.capabilities, c.pinned_organization, s.stream, s.coverage, s.settled, s.horizon, s.closed_at
FROM sync.connections c LEFT JOIN sync.state s ON s.connection = c.connection
WHERE c.connection = %s
"""
STREAMS = "SELECT stream, coverage, settled, horizon, closed_at FROM sync.state WHERE connection = %s"
_COUNTED = ", ".join(f"{name} = %s" for name in Counters.__slots__)
CLOSE_RUN = f"""
UPDATE sync.runs SET finished_at = %s, status = %s, error_code = %s, error_message = %s, {_COUNTED}
WHERE id = %s AND status = 'running'
"""  # noqa: S608 - columns of ours

_HELD = "SELECT call_id, cursor_at FROM public.calls WHERE connection = %s AND stream = %s"
NEWEST = f"{_HELD} ORDER BY cursor_at DESC, call_id LIMIT %s"
NEWEST_BEFORE = f"{_HELD} AND cursor_at < %s ORDER BY cursor_at DESC, call_id LIMIT %s"
OLDEST = f"{_HELD} AND cursor_at >= %s ORDER BY cursor_at, call_id LIMIT %s"
POSITION = "SELECT count(*) FROM public.calls WHERE connection = %s AND stream = %s AND cursor_at >= %s"
COUNT = "SELECT count(*) FROM public.calls WHERE connection = %s AND stream = %s"

_DUE = """
SELECT stream, call_id, status, cursor_at, detail_failures, detail_observed_at IS NOT NULL
FROM public.calls WHERE connection = %s AND detail_due_at <= %s
"""
_NEWEST_FIRST = "ORDER BY cursor_at DESC, call_id LIMIT %s"
DUE = f"{_DUE} {_NEWEST_FIRST}"
OPEN_DUE = f"{_DUE} AND status IN ({OPEN}) {_NEWEST_FIRST}"  # in the words of the index of open calls
FAILING = """
SELECT stream, count(*) FROM public.calls WHERE connection = %s AND detail_failures > 0 GROUP BY stream ORDER BY stream
"""
HAS_TOUCHED = "SELECT EXISTS (SELECT 1 FROM sync.touched_days WHERE connection = %s)"
