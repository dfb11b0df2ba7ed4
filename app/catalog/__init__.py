"""What we know of the upstream's models: the schema of their parameters, their prices and run times."""
