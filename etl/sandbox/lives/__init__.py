"""How the calls of each provider begin, change and end."""
