"""The tests of making roll-ups of calls again and of comparing them, on a cluster."""

from tests.warehouse.rollups.test_comparing import *  # noqa: F403
from tests.warehouse.rollups.test_in_passes import *  # noqa: F403
