"""The tests of loading pages, on a cluster."""

from tests.warehouse.loading.test_loading import *  # noqa: F403
