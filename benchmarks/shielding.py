"""
What it costs to look whether somebody forgotten is named in a record: `python -m benchmarks.shielding`, processor time a record.

That is what loading pays for every record once somebody is forgotten, beside one query a page; nobody forgotten, it pays nothing.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.dataset import END_MS, SPACING_MS
from benchmarks.records import RECORDS
from etl.records.persons import Person, by_email, by_phone
from etl.records.shield import Shield, hash_of

RECORDS_EACH, ROUNDS = 3000, 3
KEY = b"0123456789abcdef0123456789abcdef"
FORGOTTEN: tuple[Person | None, ...] = (by_email("nobody@example.com"), by_phone("+14155559999"))


def main() -> None:
    """Print the least of three rounds for each provider."""
    shield = Shield(key=KEY, hashes=frozenset(hash_of(KEY, one) for one in FORGOTTEN if one is not None))
    for provider, write in RECORDS.items():
        records = [json.loads(write(number, END_MS + number * SPACING_MS[provider])) for number in range(RECORDS_EACH)]
        spent = []
        for _ in range(ROUNDS):
            before = time.process_time()
            for record in records:
                shield.names(record)
            spent.append(time.process_time() - before)
        sys.stdout.write(f"{provider}: {min(spent) / RECORDS_EACH * 1e6:.0f} µs a record\n")


if __name__ == "__main__":
    main()
