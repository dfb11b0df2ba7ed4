"""`waystation webhook listen`: a receiver on this machine that verifies what arrives."""
