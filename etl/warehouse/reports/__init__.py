"""Read-only reports for operators: how far each connection is, its gaps, its rejects."""
