"""What was sent to each path, remembered: streams, positions in them, and the file that preserves them."""
