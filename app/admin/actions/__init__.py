"""The actions of operators. Each writes its row of the audit log in the same transaction."""
