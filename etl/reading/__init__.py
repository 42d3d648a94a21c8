"""How a provider's list is read without losing a call, and what each page proves. Knows no HTTP and no SQL."""
