"""The text of routes.yaml, and of what it includes, as nodes that know their place.

`tree` makes the nodes, `tags` resolves ``!include`` and ``!secret``, `variables` resolves ``${NAME}``, `source` turns
paths of keys into problems with file, line and column, and `masks` keeps secrets out of what people are shown.
"""
