"""The templates in routes.yaml, ``{{ … }}``: compiled at load, rendered in a sandbox with limits of time and room.

`mistakes` finds what is wrong before anybody renders, `compiler` makes a function of a template, `scope` is one
rendering, `sandbox`, `attributes`, `operators` and `filters` are all that a template reaches.
"""
