"""Write dumps of the database, and restore them into an empty server."""
