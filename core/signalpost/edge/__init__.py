"""Who comes from where, and how often: what proxies say of their clients, and limits for each address and user."""
