"""Code that all HTTP routes share: bodies, query parameters, pages of lists, errors, and limits on parsing."""
