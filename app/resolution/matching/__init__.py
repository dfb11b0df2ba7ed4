"""Compares requests of the history with the attempts that may have made them. Pure functions."""
