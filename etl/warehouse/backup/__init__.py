"""
The whole warehouse in one file, and back into another database, whatever the versions of both servers.

`docs/backup.md` describes the file, and `docs/decisions/0039-a-backup-is-copies-of-tables.md` says why it is no dump.
"""
