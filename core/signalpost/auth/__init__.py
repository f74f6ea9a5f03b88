"""Identity: who a client is, by tokens, keys and plugins. Nothing here waits but the fetching of keys."""
