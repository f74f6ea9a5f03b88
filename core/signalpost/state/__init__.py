"""The state that all handlers and all actions of a server share, and the file that keeps it.

`state` is the mapping, `frozen` the JSON in it that nobody changes in place, `shares` who has put in how much, `weight`
how much a value holds; `file`, `journal`, `edits` and `writer` keep it on disk.
"""
