"""The life of a run: one transaction a page, proof before claims. Knows no HTTP and no SQL."""
