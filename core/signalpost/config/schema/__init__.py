"""The one JSON Schema of routes.yaml: checks the file's structure, serves editors and documents every key."""
