"""
What it costs to look whether somebody forgotten is named in a record: `python -m benchmarks.shielding`, processor time a record.

That is what loading pays for every record once somebody is forgotten, beside one query a page; nobody forgotten, it pays nothing.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from benchmarks.dataset import END_MS, SPACING_MS
from benchmarks.records import RECORDS
from etl import providers
from etl.model import Context
from etl.provider import CALLS
from etl.records.draft import draft
from etl.records.identify import identify_all
from etl.records.persons import Person, by_email, by_phone
from etl.records.shield import Shield, hash_of

RECORDS_EACH, PER_PAGE, ROUNDS = 3000, 100, 3
SEEN = datetime(2026, 11, 27, 12, tzinfo=UTC)
CONTEXT = Context(connection="line", stream=CALLS, currency="USD", run_id=1)
KEY = b"0123456789abcdef0123456789abcdef"
FORGOTTEN: tuple[Person | None, ...] = (by_email("nobody@example.com"), by_phone("+442079460999"))


def main() -> None:
    """Print the least of three rounds for each provider; each round has records of its own, and remembers nothing before them."""
    hashes = frozenset(hash_of(KEY, one) for one in FORGOTTEN if one is not None)
    for provider, write in RECORDS.items():
        spent = []
        for first in range(0, ROUNDS * RECORDS_EACH, RECORDS_EACH):
            numbers = range(first, first + RECORDS_EACH)
            texts = [write(number, END_MS + number * SPACING_MS[provider]).encode() for number in numbers]
            records = identify_all(providers.get(provider), texts)
            draft(providers.get(provider), CONTEXT, records, observed_at=SEEN, due_at=None)  # reads the numbers, as loading does
            shield = Shield(key=KEY, hashes=hashes)
            before = time.process_time()
            for start in range(0, RECORDS_EACH, PER_PAGE):
                shield.may_name(texts[start : start + PER_PAGE])
            spent.append(time.process_time() - before)
        sys.stdout.write(f"{provider}: {min(spent) / RECORDS_EACH * 1e6:.0f} µs a record\n")


if __name__ == "__main__":
    main()
