//! Micro-benchmarks of what this project writes itself; run them with `cargo bench -p mbsd-benches`.
