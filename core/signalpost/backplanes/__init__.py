"""Backplanes: what carries values between the nodes of one app, and keeps what all of them share."""
