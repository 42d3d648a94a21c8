"""A warehouse that a sync can write into without a database."""
