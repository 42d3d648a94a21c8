"""The tests of roll-ups made beside the pages, on a cluster."""

from tests.warehouse.rollups.test_beside import *  # noqa: F403
