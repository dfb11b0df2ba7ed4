"""What it costs and what it carries: each program prints one table; ratios come from one run. See README.md."""
