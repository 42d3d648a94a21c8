"""The tests of audits and their repair, on a cluster."""

from tests.acceptance.conftest import between, set_stage, stage  # noqa: F401
from tests.acceptance.test_audit import *  # noqa: F403
