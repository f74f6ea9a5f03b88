"""Announces the new day at midnight.

A model for a schedule: it is bound by its decorator, and routes.yaml may give it another hour, time zone or text:

    schedules:
      - {name: nightly, cron: "30 4 * * *", timezone: Europe/London, handler: nightly, arguments: {text: Good morning}}
"""

import logging

from signalpost import TickEvent, schedule

LOG = logging.getLogger("signalpost.plugins.nightly")


@schedule("nightly", cron="0 0 * * *", arguments={"text": "A new day has begun"})
async def nightly(event: TickEvent) -> None:
    """Tell everyone; `event.due` is the midnight meant, however late the run begins."""
    text = event.arguments.get("text", "")
    receipt = event.broadcast(f"{text}: {event.due:%A, %d %B %Y}")
    LOG.info("run %d told %d clients", event.run, receipt.queued)
