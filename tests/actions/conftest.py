"""Asks an app for what its lists of actions answer."""

import httpx
import pytest


@pytest.fixture
def ask():
    """Send a request to an app."""

    async def send(app, path, method="POST", **options):
        async with httpx.AsyncClient(base_url=app.url("web")) as client:
            return await client.request(method, path, **options)

    return send
