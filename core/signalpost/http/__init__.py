"""Plain HTTP: the app of each port, routes, files, views, and Sanic's protocol with what it leaves out.

With `serving/` and `sockets/` it is the whole network side; nothing else imports Sanic.
"""
