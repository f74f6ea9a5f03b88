"""The one JSON Schema of routes.yaml: it checks the file's shape, feeds editors and documents every key."""
