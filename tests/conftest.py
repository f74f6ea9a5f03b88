"""What all tests share."""

import pytest
from hypothesis import HealthCheck, settings

# Nothing here is timed: a busy machine must not turn a test red.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def anyio_backend():
    """Run async tests on the loop that the server runs on."""
    return ("asyncio", {"use_uvloop": True})
