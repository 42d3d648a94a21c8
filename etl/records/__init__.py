"""Turns a provider's records into rows, one by one or as columns: pure functions without I/O."""
