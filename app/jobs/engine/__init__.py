"""The engine: three loops that send queued jobs, poll running ones, and repair what was left behind."""
