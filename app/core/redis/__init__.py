"""Redis: connections, notifications, and subscriptions."""
