"""An editor: yaml-language-server from npm, and a client that speaks the Language Server Protocol with it.

The protocol is that of https://microsoft.github.io/language-server-protocol/, version 3.17: JSON-RPC over stdio.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SERVER = HERE / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
REMEDY = f"npm install --prefix {HERE.relative_to(HERE.parents[1])}"


@pytest.fixture(scope="session")
def language_server():
    """Return the command of the language server. Where tests run for everybody, it must be there."""
    missing = "node is not installed" if shutil.which("node") is None else "yaml-language-server is not installed"
    if missing.startswith("node") or not SERVER.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{missing}; {REMEDY}")
    return ("node", str(SERVER), "--stdio")


@pytest.fixture(scope="module")
def open_editor(language_server):
    """Open a folder: ``open_editor(folder, {"yaml.customTags": […]})``; every editor is closed with the module."""
    editors = []

    def open_folder(folder, settings=()):
        editors.append(Editor(language_server, folder, dict(settings)))
        return editors[-1]

    yield open_folder
    for editor in editors:
        editor.close()


class Editor:
    """An editor with one folder; every text is a new file in it.

    Args:
        command: of the language server.
        folder: that is open.
        settings: as a user writes them in settings.json, ``{"yaml.customTags": […]}``.

    """

    def __init__(self, command, folder, settings):
        self._folder = folder
        self._settings = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}
        self._settings |= {name.removeprefix("yaml."): value for name, value in settings.items()}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._requests = 0
        self._files = 0
        self._diagnostics = {}
        self._uri = ""
        completion = {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}}
        document = {"completion": completion, "hover": {"contentFormat": ["markdown"]}, "publishDiagnostics": {}}
        self._ask(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": folder.as_uri(),
                "workspaceFolders": [{"uri": folder.as_uri(), "name": folder.name}],
                "capabilities": {"workspace": {"configuration": True}, "textDocument": document},
            },
        )
        self._tell("initialized", {})

    def open(self, text):
        """Open a file that holds `text`; return what the editor underlines, as (line from 1, what is said)."""
        self._files += 1
        self._uri = uri = (self._folder / f"routes{self._files}.yaml").as_uri()
        item = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": item})
        while uri not in self._diagnostics:
            self._take(self._read())
        return sorted((each["range"]["start"]["line"] + 1, each["message"]) for each in self._diagnostics[uri])

    def type(self, text):
        """Open a file whose text has a ``|`` for the cursor, and ask for completion: what is offered, by label."""
        self.open(text.replace("|", "", 1))
        offered = self._ask("textDocument/completion", self._cursor(text))["items"]
        return {each["label"]: each for each in offered}

    def point(self, text):
        """Open a file whose text has a ``|`` for the mouse; return what is shown there, as Markdown."""
        self.open(text.replace("|", "", 1))
        return self._ask("textDocument/hover", self._cursor(text))["contents"]["value"]

    def close(self):
        """End the language server."""
        self._ask("shutdown", None)
        self._tell("exit", None)
        self._process.communicate()

    def _cursor(self, text):
        before = text.partition("|")[0]
        position = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        return {"textDocument": {"uri": self._uri}, "position": position}

    def _ask(self, method, params):
        self._requests += 1
        self._send({"id": self._requests, "method": method, "params": params})
        while True:
            message = self._read()
            if "method" not in message and message["id"] == self._requests:
                return message["result"]
            self._take(message)

    def _tell(self, method, params):
        self._send({"method": method, "params": params})

    def _take(self, message):
        """Answer what the server asks, and keep what it underlines."""
        if "id" in message and "method" in message:
            result = None
            if message["method"] == "workspace/configuration":
                sections = {"yaml": self._settings}
                result = [sections.get(item["section"]) for item in message["params"]["items"]]
            self._send({"id": message["id"], "result": result})
        elif message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]

    def _send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self):
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = self._process.stdout.read(length)
        if not body:
            pytest.fail(f"the language server ended: {self._process.stderr.read().decode()}")
        return json.loads(body)
