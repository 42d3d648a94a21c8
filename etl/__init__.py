"""Copy call records from several providers into one Postgres warehouse, provably complete."""

__version__ = "0.2.0"
