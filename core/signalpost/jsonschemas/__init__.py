"""JSON Schema (draft 2020-12 and older): `gate` says whether a value passes, `explain` why it does not.

`cost` reckons what a check may take, `keywords` checks within a budget what the engine does slowly, `unions` rewrites
schemas so that a rejection is explained briefly, and `typed` makes numbers of the texts of forms.
"""
