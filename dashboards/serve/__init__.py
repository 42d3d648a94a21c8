"""Superset on this machine, with our dashboards in it: `make dashboards`, which is `python -m dashboards.serve`."""
