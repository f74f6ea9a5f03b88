"""The plan: everything routes.yaml and the plugins say, resolved and checked (`load_plan`)."""

from signalpost.plan.builder import build_plan
from signalpost.plan.loading import load_plan
from signalpost.plan.model import Action, Job, Plan, RouteRule, ScheduleJob, TimerJob

__all__ = ["Action", "Job", "Plan", "RouteRule", "ScheduleJob", "TimerJob", "build_plan", "load_plan"]
