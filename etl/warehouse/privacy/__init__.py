"""Who may see what: rights of readers on the warehouse."""
