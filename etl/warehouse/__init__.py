"""Everything about Postgres: sessions, locks, tables, migrations, loading, reports."""
