"""What operators ask of the warehouse: how far each connection is, its gaps and its rejects."""
