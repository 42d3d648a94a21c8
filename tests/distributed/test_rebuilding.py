"""The tests of making all roll-ups again and of taking on a new time zone, on a cluster."""

from tests.warehouse.rollups.test_rebuilding import *  # noqa: F403
