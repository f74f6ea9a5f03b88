"""Who gets it, and how: frames, clients with their outboxes, audiences, and the hub.

No await, no JSON, no Sanic. A backplane that carries broadcasts between workers has its place between
`Hub.broadcast`'s callers and the hub: every node, this one included, then delivers what the backplane gives it.
"""
