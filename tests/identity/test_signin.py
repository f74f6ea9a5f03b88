"""The app that people sign in to: cookies with tokens, what each role may, and what nobody gets away with."""

import re
import runpy
import subprocess
import sys
import time
from http.cookies import SimpleCookie

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signalpost.cli.new import create_app
from signalpost.errors import ConfigError
from signalpost.testing import load_app, serve

V1 = {"subprotocols": ["signalpost.v1"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder that `signalpost new --from signin` has made, its passwords, and its file with free ports."""
    folder = tmp_path_factory.mktemp("signin") / "app"
    passwords = create_app(folder, "signin").passwords
    return folder, passwords, (folder / "routes.yaml").read_text(encoding="utf-8").replace("port: 8090", "port: 0")


@pytest.fixture
def signin(made):
    """Serve the app; only its port is another."""
    return lambda: serve(made[2], folder=made[0])


@pytest.fixture
def sign_in(made):
    """Sign somebody in, and return the answer."""

    async def sign_in(app, name, password=None, **options):
        async with httpx.AsyncClient(base_url=app.url("web"), trust_env=False) as client:
            said = {"name": name, "password": made[1][name] if password is None else password}
            return await client.post("/signin", json=said, **options)

    return sign_in


def shown(answer):
    """Return the header that shows the cookie of an answer again, as the browser of that page does."""
    return {"additional_headers": {"Cookie": f"signin={answer.cookies['signin']}"}}


def secret(folder):
    return re.search(r'^signin: "(.*)"$', (folder / "secrets.yaml").read_text(), re.MULTILINE)[1]


async def test_an_editor_writes_and_a_reader_reads(signin, sign_in):
    async with signin() as app:
        ann, bob = await sign_in(app, "ann"), await sign_in(app, "bob")
        assert (ann.json(), bob.json()) == (
            {"user": "ann", "roles": ["editor"]},
            {"user": "bob", "roles": ["reader"]},
        )
        async with app.connect("/talk", **V1, **shown(ann)) as one, app.connect("/talk", **V1, **shown(bob)) as other:
            assert (await one.receive_json())["welcome"]["user"] == "ann"
            assert (await other.receive_json())["welcome"]["user"] == "bob"
            await one.send("hello")
            assert (await other.receive_json())["signal"]["value"] == {"from": "ann", "text": "hello"}
            await other.send("me too")
            assert (await other.receive_json())["error"]["code"] == "forbidden"


async def test_a_cookie_is_out_of_reach_of_scripts_and_of_other_sites_and_ends_with_its_token(signin, sign_in, made):
    async with signin() as app:
        cookie = SimpleCookie((await sign_in(app, "ann")).headers["set-cookie"])["signin"]
        claims = jwt.decode(cookie.value, secret(made[0]), ["HS256"], issuer="signin", audience="signin")
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")
        assert not cookie["secure"]  # this is http
        assert int(cookie["max-age"]) == claims["exp"] - claims["iat"]
        assert claims["jti"]


async def test_a_cookie_goes_over_https_alone_if_it_came_so(made):
    text = made[2].replace("protocol: http}", "protocol: https, self_signed: true}")
    async with serve(text.replace("protocol: ws}", "protocol: wss, self_signed: true}"), folder=made[0]) as app:
        async with httpx.AsyncClient(base_url=app.url("web"), trust_env=False, verify=False) as client:
            answer = await client.post("/signin", json={"name": "ann", "password": made[1]["ann"]})
            gone = await client.post("/signout")
        for each in (answer, gone):
            assert SimpleCookie(each.headers["set-cookie"])["signin"]["secure"] is True


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("ann", ""), ("nobody", "wrong"), ("nobody", "")])
async def test_a_wrong_password_and_a_wrong_name_are_answered_alike(signin, sign_in, name, password):
    async with signin() as app:
        answer = await sign_in(app, name, password)
        assert answer.status_code == 401
        assert answer.json()["error"]["detail"] == "This is not the password of this name."
        assert "set-cookie" not in answer.headers


async def test_the_hash_of_a_password_is_no_password(signin, sign_in, made):
    stored = re.search(r"^ann: (.*)$", (made[0] / "secrets.yaml").read_text(), re.MULTILINE)[1]
    async with signin() as app:
        assert (await sign_in(app, "ann", stored)).status_code == 401


async def test_who_is_not_signed_in_is_not_connected(signin):
    async with signin() as app:
        with pytest.raises(InvalidStatus) as refused:
            async with app.connect("/talk"):
                pass
        assert refused.value.response.status_code == 401
        async with app.connect("/talk", **V1) as client:
            assert (await client.receive_json())["error"]["code"] == "unauthorized"
            with pytest.raises(ConnectionClosed) as closed:
                await client.receive()
            assert closed.value.rcvd.code == 4401


async def test_who_has_no_role_is_told_that_they_may_not(signin, made):
    async with signin() as app:
        now = int(time.time())
        claims = {"iss": "signin", "aud": "signin", "sub": "eve", "roles": [], "iat": now, "exp": now + 60}
        token = jwt.encode(claims, secret(made[0]), "HS256")
        async with app.connect("/talk", **V1, additional_headers={"Cookie": f"signin={token}"}) as client:
            assert (await client.receive_json())["error"]["code"] == "forbidden"
            with pytest.raises(ConnectionClosed) as closed:
                await client.receive()
            assert closed.value.rcvd.code == 4403


async def test_signing_out_takes_the_cookie_away(signin, sign_in):
    async with signin() as app, httpx.AsyncClient(base_url=app.url("web"), trust_env=False) as client:
        client.cookies = (await sign_in(app, "ann")).cookies
        assert (await client.get("/me")).json() == {"user": "ann", "roles": ["editor"]}
        copied = dict(client.cookies)
        async with app.connect("/talk", **V1, additional_headers={"Cookie": f"signin={copied['signin']}"}) as tab:
            assert (await tab.receive_json())["welcome"]["user"] == "ann"
            await client.post("/signout")
            with pytest.raises(ConnectionClosed) as closed:
                await tab.receive()
            assert closed.value.rcvd.code == 4401
        assert (await client.get("/me")).json() == {"user": None, "roles": []}
        client.cookies.update(copied)
        assert (await client.get("/me")).json() == {"user": None, "roles": []}


async def test_a_page_of_another_site_can_neither_sign_in_nor_use_a_cookie(signin, sign_in):
    foreign = {"Origin": "https://elsewhere.example"}
    async with signin() as app:
        assert (await sign_in(app, "ann", headers=foreign)).status_code == 403
        cookie = shown(await sign_in(app, "ann"))["additional_headers"]
        with pytest.raises(InvalidStatus) as refused:
            async with app.connect("/talk", **V1, additional_headers={**cookie, **foreign}):
                pass
        assert refused.value.response.status_code == 403


async def test_a_body_that_is_no_name_and_password_is_refused(signin):
    async with signin() as app, httpx.AsyncClient(base_url=app.url("web"), trust_env=False) as client:
        for body in ({}, {"name": "ann"}, {"name": ["ann"], "password": "x"}, []):
            assert (await client.post("/signin", json=body)).status_code == 422
        form = await client.post("/signin", data={"name": "ann", "password": "x"})
        assert form.status_code == 400


def test_no_two_apps_have_a_secret_or_a_password_in_common_and_nobody_else_may_read_them(made, tmp_path):
    folder, passwords, _ = made
    other = create_app(tmp_path / "app", "signin")
    assert list(other.passwords) == list(passwords) == ["ann", "bob"]
    assert not set(other.passwords.values()) & set(passwords.values())
    assert secret(folder) != secret(tmp_path / "app")
    assert ((folder / "secrets.yaml").stat().st_mode & 0o777) == 0o600
    assert (folder / ".gitignore").read_text() == "secrets.yaml\n"
    everything = [file for file in folder.rglob("*") if file.is_file()]
    assert [file.name for file in everything if secret(folder) in file.read_text()] == ["secrets.yaml"]
    assert not [file for file in everything if passwords["ann"] in file.read_text()]


def test_the_plugin_hashes_a_password_that_signs_in(made):
    program = (
        "import getpass, runpy, sys; getpass.getpass = lambda prompt: 'open sesame'; "
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    command = [sys.executable, "-c", program, str(made[0] / "plugins" / "signin.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    salt = bytes.fromhex(printed.split("$")[1])
    assert runpy.run_path(str(made[0] / "plugins" / "signin.py"))["hashed"]("open sesame", salt) == printed


def test_a_misspelt_setting_is_found_before_anybody_signs_in(tmp_path):
    create_app(tmp_path / "app", "signin")
    text = (tmp_path / "app" / "routes.yaml").read_text().replace("{password: !secret ann,", "{pasword: !secret ann,")
    with pytest.raises(ConfigError, match=r'did you mean "password"\?') as found:
        load_app(text, tmp_path / "app")
    assert "scrypt$" not in str(found.value)


def test_the_cookie_of_the_file_is_that_of_the_plugin(made):
    plugin = (made[0] / "plugins" / "signin.py").read_text()
    assert re.search(r"cookie: (\w+)", made[2])[1] == re.search(r'^COOKIE = "(\w+)"', plugin, re.MULTILINE)[1]
