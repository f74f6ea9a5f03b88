"""Drivers of the client libraries, as fixtures, and servers that do what a test tells them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import drivers

pytest_plugins = ()


@pytest.fixture(scope="session")
def chromium():
    """Return the process of the driver `chromium`, which stays for all tests."""
    process = drivers.Process(drivers.CHROMIUM)
    yield process
    process.close()


@pytest.fixture
async def make_driver(request):
    """Return a function that begins a driver by its name."""
    begun = []

    async def make(name):
        if reason := drivers.missing(name):
            drivers.must_not_be_missing(reason, pytest.skip, pytest.fail)
        if name == "chromium":
            driver = drivers.Driver(name, request.getfixturevalue("chromium"))
            await driver.fresh()
            return driver
        begun.append(drivers.Process(drivers.NODE if name == "node" else drivers.PYTHON))
        return drivers.Driver(name, begun[-1])

    yield make
    for process in begun:
        process.close()


@pytest.fixture(
    params=[
        "node",
        "python",
        pytest.param("chromium", marks=[pytest.mark.browser, pytest.mark.slow]),
    ]
)
async def driver(request, make_driver):
    """Return each driver in turn."""
    return await make_driver(request.param)
