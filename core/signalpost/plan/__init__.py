"""The plan: routes.yaml and the plugins, resolved and checked (`load_plan`)."""

from signalpost.plan.builder import build_plan
from signalpost.plan.diff import Changes, Part, diff
from signalpost.plan.loading import load_beside, load_plan
from signalpost.plan.plan import Action, Feed, Job, Plan, RouteRule

__all__ = [
    "Action",
    "Changes",
    "Feed",
    "Job",
    "Part",
    "Plan",
    "RouteRule",
    "build_plan",
    "diff",
    "load_beside",
    "load_plan",
]
