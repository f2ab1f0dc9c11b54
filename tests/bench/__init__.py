"""The benchmark: `make bench` measures, prints ratios, and writes docs/benchmarks.md with its charts."""
