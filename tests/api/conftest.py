"""Apps with an API, and programs that ask it: each answer is held against the document that describes it."""

import contextlib

import httpx
import pytest
from jsonschema import Draft202012Validator

from signalpost.testing import serve

SHOP = "pZ3vN8qTgY5kR1xC7wBh2sLf9mJd4aEu"
ROOMS = "rZ3vN8qTgY5kR1xC7wBh2sLf9mJd4aEr"
READER = "eZ3vN8qTgY5kR1xC7wBh2sLf9mJd4aEe"
TEXT = f"""
undeclared: refuse
endpoints:
  - {{name: web, address: 127.0.0.1, port: 0, protocol: http}}
  - {{name: live, address: 127.0.0.1, port: 0, protocol: ws}}
auth:
  keys:
    shop: {{key: {SHOP}, may: [publish, history, presence, clients, moderate]}}
    rooms: {{key: {ROOMS}, may: [publish, history, presence, clients, moderate], paths: ["/rooms/<room>"]}}
    reader: {{key: {READER}, may: [history]}}
api: {{}}
signals:
  - {{path: "/rooms/<room>", rebroadcast: path, history: 100, presence: true, may: {{connect: anyone}}}}
  - {{path: /plain, rebroadcast: path, may: {{connect: anyone}}}}
"""


class Program:
    """A program that asks the API of an app with a key."""

    def __init__(self, http, key):
        self._http = http
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self.document = None

    async def get(self, name, **query):
        return await self.ask("GET", name, params=query)

    async def post(self, name, body=None, headers=None, **more):
        return await self.ask("POST", name, json=body if body is not None else more, headers=headers)

    async def ask(self, method, name, *, headers=None, **options):
        """Ask, hold the answer against its schema, and return it."""
        if self.document is None:
            self.document = (await self._http.get("/api/openapi.json")).json()
        answer = await self._http.request(
            method, f"/api/{name}", headers={**self._headers, **(headers or {})}, **options
        )
        at = ["paths", f"/{name}", method.lower(), "responses", str(answer.status_code), "content", "application/json"]
        pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in [*at, "schema"])
        Draft202012Validator({**self.document, "$ref": f"#/{pointer}"}).validate(answer.json())
        return answer


@pytest.fixture
def api():
    """Serve an app; yield it, and what makes programs that ask it."""

    @contextlib.asynccontextmanager
    async def api(text=TEXT, **options):
        async with serve(text, **options) as app, httpx.AsyncClient(base_url=app.url("web")) as http:
            yield app, lambda key=SHOP: Program(http, key)

    return api
