"""The upstream-shaped surface: the upstream's official SDK works with it unchanged, with another `base_url`."""
