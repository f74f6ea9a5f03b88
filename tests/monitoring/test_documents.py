"""The document of the metrics has each of them, with its labels, and no other."""

import re
from pathlib import Path

from prometheus_client.core import HistogramMetricFamily

from signalpost.actions.builtin import BUILT_IN
from signalpost.config.load import parse_config
from signalpost.monitoring.metrics import families
from signalpost.testing import serve

DOCUMENT = Path(__file__).resolve().parents[2] / "core" / "docs" / "monitoring.md"
ROW = re.compile(r"^\| `(signalpost_\w+)` \| ([^|]*)\|", re.MULTILINE)
APP = """
endpoints: [{name: web, address: 127.0.0.1, port: 0, protocol: http, fallbacks: [sse]}]
signals: [{path: /chat, handler: slow}]
feeds: [{name: prices, url: "ws://127.0.0.1:1/", do: [{log: {message: x}}]}]
backplane: redis://127.0.0.1/0
monitor: {metrics: /metrics}
"""
PLUGIN = """
from signalpost import signal

@signal("slow")
async def slow(event):
    pass
"""


def named(family):
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    return family.name + suffix


async def test_the_document_has_every_metric_with_its_labels():
    async with serve(APP, plugins={"slow": PLUGIN}) as app:
        found = families(app.server._monitor._readings, {})
    told = {name: re.findall(r"`(\w+)`", labels) for name, labels in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))}
    ours = {named(family): family for family in found if family.name.startswith("signalpost_")}
    assert told.keys() == ours.keys()
    labels = {name: list(family._labelnames) for name, family in ours.items() if family.type != "info"}
    assert labels == {name: told[name] for name in labels}
    assert any(isinstance(family, HistogramMetricFamily) for family in found)


async def test_every_alarm_names_a_metric_that_there_is():
    text = DOCUMENT.read_text(encoding="utf-8")
    told = {name for name, _ in ROW.findall(text)}
    alarms = text.partition("## What to alarm on")[2].partition("## What it costs")[0]
    used = {name.removesuffix("_bucket") for name in re.findall(r"signalpost_\w+", alarms)}
    assert used
    assert used <= told


def test_the_files_of_the_document_are_sound_and_show_metrics_to_this_machine_alone(tmp_path):
    files = [block for block in re.findall(r"(?ms)^```yaml\n(.*?)^```$", DOCUMENT.read_text()) if "endpoints:" in block]
    read = [parse_config(text, file="routes.yaml", folder=tmp_path, actions=BUILT_IN) for text in files]
    assert [config.monitor.metrics.endpoint for config in read] == ["ops", "ops"]
    assert [[note.partition(" is at")[0] for note in config.notes] for config in read] == [
        [],
        ["routes.yaml:7: /health"],
    ]
