"""Knows how calls of each provider are born and live; not how they are served."""
