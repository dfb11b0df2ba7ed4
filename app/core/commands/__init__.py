"""Code that all commands share: it finds the database and prints output."""
