"""Steps that need no code: their options, compiled at load, and their effects."""
