"""The API for other programs over HTTP: requests with a key, answers in JSON, and the document that describes them."""
