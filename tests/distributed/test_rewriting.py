"""The tests of rewriting rows in place, on a cluster."""

from tests.warehouse.loading.test_rewriting import *  # noqa: F403
