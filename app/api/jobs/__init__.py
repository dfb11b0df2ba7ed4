"""`/api/v1/jobs`: submit, quote, read, list, cancel."""
