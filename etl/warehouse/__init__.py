"""Knows Postgres: tables, migrations, connections, loading; knows no API and no HTTP."""
