"""A page's transaction and what it writes: rows, children, history, rejects, drift."""
