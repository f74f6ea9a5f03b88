"""The text of routes.yaml, and of what it includes, as nodes with their places.

`tree` builds the nodes, `tags` resolves ``!include`` and ``!secret``, `variables` resolves ``${NAME}``, `source` turns
paths of keys into problems with file, line and column, and `masks` hides secrets in output.
"""
