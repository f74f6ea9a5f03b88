"""What a message is and what becomes of it: read, judged by its schema, decided, delivered or handed to a handler."""
