"""The tests of the status page, on a cluster."""

from tests.acceptance.conftest import between, set_stage, stage  # noqa: F401
from tests.acceptance.test_status_page import *  # noqa: F403
