"""Apps whose plugins are written by the test."""

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

    def load(self, *, installed=(), **config):
        self.registries.append(load_plugins(PluginsConfig(folder=self.folder, **config), installed))
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
