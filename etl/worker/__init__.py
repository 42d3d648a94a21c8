"""The worker: what is due, worked out from schedules and from what was tried."""
