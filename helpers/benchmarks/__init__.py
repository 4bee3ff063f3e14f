"""Speed and memory against named baselines (make bench)."""
