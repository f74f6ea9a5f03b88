"""Delivery to clients: frames, clients with their outboxes, audiences, and the hub.

No await, no JSON, no Sanic. A backplane that carries broadcasts between workers belongs between publishers and the hub
(`signalpost.delivery.broker`): every node, this one included, then delivers what the backplane brings.
"""
