"""What all commands share: how they find the database, and how they print."""
