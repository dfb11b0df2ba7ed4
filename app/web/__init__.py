"""What all HTTP routes share: bodies, query parameters, pages of lists, errors, and what a caller may have parsed."""
