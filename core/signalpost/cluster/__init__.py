"""A node among others: what it publishes goes to all of them over a backplane, and what they publish comes here."""
