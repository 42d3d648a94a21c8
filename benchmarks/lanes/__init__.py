"""Each module here is one lane, or lanes that only mean something side by side; a lane returns what it measured."""
