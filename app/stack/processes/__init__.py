"""Processes that do not outlive us: started, watched, replaced and stopped in order."""
