"""What operators can do. Each action writes its row of the audit log in the same transaction."""
