"""The console: a page that shows a server to people, what it reads, and what is done by it."""
