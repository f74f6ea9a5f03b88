"""Steps that need no code: the values they are given, compiled at load, and what they do."""
