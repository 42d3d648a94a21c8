"""How one record of a provider becomes a row, or many become columns: pure functions, no I/O."""
