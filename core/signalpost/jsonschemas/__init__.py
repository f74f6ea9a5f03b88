"""JSON Schema (draft 2020-12 and older): `gate` decides whether a value matches, `rejection` words why it does not.

`cost` estimates the time of a check, `keywords` limits the time of what the engine does slowly, `unions` rewrites
schemas so that a rejection is explained briefly, and `typed` converts the texts of forms.
"""
