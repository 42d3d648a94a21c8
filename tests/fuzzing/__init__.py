"""Fuzzes everything that reads what comes from outside: `make fuzz`, and a moment of it in the tests."""
