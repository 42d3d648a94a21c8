"""Reads a provider's list without losing a call, and works out what each page proves."""
