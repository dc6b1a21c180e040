"""A seeded town that knows the truth: phones, doors and shoppers for the demo, the tests and the benchmarks."""
