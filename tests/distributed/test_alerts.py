"""The tests of remembered alerts, on a cluster."""

from tests.warehouse.test_alerts import *  # noqa: F403
