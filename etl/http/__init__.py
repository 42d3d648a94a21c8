"""The HTTP room: knows how to ask an API for JSON, patiently and within its limits; knows no provider, no loop, no SQL."""
