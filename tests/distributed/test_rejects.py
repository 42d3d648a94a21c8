"""The tests of rejects and gaps, on a cluster."""

from tests.warehouse.test_audited_rejects import *  # noqa: F403
from tests.warehouse.test_gaps import *  # noqa: F403
from tests.warehouse.test_replayed_rejects import *  # noqa: F403
