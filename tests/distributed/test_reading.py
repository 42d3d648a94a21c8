"""The tests of what reading views show, on a cluster."""

from tests.warehouse.rollups.test_reading import *  # noqa: F403
