use tidegate::*;

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let size: usize = a[2].parse().unwrap();
    let keys = tidegate_benches::workload::keys(size);
    let seq =
        tidegate_benches::workload::sequence(&keys, tidegate_benches::workload::Spread::Uniform);
    let q = Quota::per_second(1_000_000_000).unwrap();
    let table = BucketTable::boxed(q, size, SeededState::new(1)).unwrap();
    let plan = table.plan(q).unwrap();
    let now = Instant::from_secs(1);
    for k in &keys {
        _ = table.check(k, &plan, now);
    }
    let mut best = f64::MAX;
    for _ in 0..3 {
        let t = std::time::Instant::now();
        let n = 1 << 21;
        let mask = seq.len() - 1;
        if a[1] == "single" {
            let mut c = 0u32;
            for i in 0..n {
                c += table
                    .check(&seq[i & mask], &plan, Instant::from_nanos(1_000_000_000 + i as u64))
                    .is_admitted() as u32;
            }
            std::hint::black_box(c);
        } else {
            let mut d = [Decision::CLOSED; 32];
            for c in 0..n / 32 {
                let k = &seq[(c * 32) & mask..];
                let reqs: [_; 32] = std::array::from_fn(|i| (k[i], &plan, 1));
                table.check_burst(&reqs, Instant::from_nanos(1_000_000_000 + c as u64), &mut d);
                std::hint::black_box(&d);
            }
        }
        best = best.min(t.elapsed().as_nanos() as f64 / n as f64);
    }
    println!("{} {} {:.2}", a[1], size, best);
}
