"""HTTP and JSON as the simulator reads and writes them, byte by byte."""
