"""The upstream-shaped surface: what the upstream's official SDK speaks, unchanged but for its `base_url`."""
