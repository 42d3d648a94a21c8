"""The tests of replays, on a cluster."""

from tests.acceptance.conftest import between, set_stage, stage  # noqa: F401
from tests.acceptance.test_replay import *  # noqa: F403
