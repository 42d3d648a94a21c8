"""What a page's transaction writes: rows, children, history, rejects, drift."""
