"""Apps whose plugins are written by the test."""

import importlib.metadata
import sys
import textwrap

import pytest

from signalpost.config.model import PluginsConfig
from signalpost.plugins.discovery import load_plugins


class App:
    """A folder with plugins, and what was loaded from it."""

    def __init__(self, folder):
        self.folder = folder
        self.registries = []

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def load(self, *, installed=(), before=None, **config):
        self.registries.append(load_plugins(PluginsConfig(folder=self.folder, **config), installed, before))
        return self.registries[-1]


@pytest.fixture
def make_app(tmp_path):
    """Make apps, each in a folder of its own; everything loaded is forgotten at the end."""
    apps = []

    def make(name="app"):
        folder = tmp_path / name / "plugins"
        folder.mkdir(parents=True)
        apps.append(App(folder))
        return apps[-1]

    yield make
    for app in apps:
        for registry in app.registries:
            registry.unload()


@pytest.fixture
def app(make_app):
    return make_app()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install packages by hand: a module and the metadata that pip would write; return their entry points."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    before = set(sys.modules)

    def install(distribution, entry, *, source, version="1.2"):
        module = entry.partition("=")[2].strip().partition(":")[0]
        (site / f"{module}.py").write_text(source)
        info = site / f"{distribution}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[signalpost]\n{entry}\n")
        found = importlib.metadata.distributions(path=[str(site)])
        return [point for each in found for point in each.entry_points]

    yield install
    for name in set(sys.modules) - before:
        del sys.modules[name]
