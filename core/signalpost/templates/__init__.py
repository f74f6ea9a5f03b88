"""The templates in routes.yaml, ``{{ … }}``: compiled at load, rendered in a sandbox with limits of time and room.

`check` finds problems before anything is rendered, `compiler` turns a template into a function, `scope` is one
rendering; `sandbox`, `attributes`, `operators` and `filters` are all that a template can reach.
"""
