"""The state that all handlers and all actions of a server share, and the file that keeps it.

`state` is the mapping, `frozen` the immutable JSON in it, `shares` counts how much each client has stored, `weight` the
size of a value; `file`, `edits` and `writer` store it on disk.
"""
