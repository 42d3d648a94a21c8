"""The tests of syncs with details, and of calls that move, on a cluster."""

from tests.acceptance.conftest import between, set_stage, stage  # noqa: F401
from tests.acceptance.test_details import *  # noqa: F403
from tests.acceptance.test_moved_and_partial import *  # noqa: F403
