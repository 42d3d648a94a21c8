"""The tests of roll-ups of people and of those made beside the pages, on a cluster."""

from tests.warehouse.rollups.test_of_people import *  # noqa: F403
