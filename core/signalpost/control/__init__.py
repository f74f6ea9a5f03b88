"""The control socket: commands on the same machine ask a running server, or tell it what to do."""
