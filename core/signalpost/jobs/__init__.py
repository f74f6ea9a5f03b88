"""Timers and schedules at run time; the only room that imports APScheduler."""
