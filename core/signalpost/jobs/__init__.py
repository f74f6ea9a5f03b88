"""Timers and schedules at run time; the only package that imports APScheduler."""
