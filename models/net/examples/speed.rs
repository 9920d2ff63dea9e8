use burn::tensor::*;
use burn::tensor::activation::*;
use burn::nn::*;
use std::time::Instant;
fn time(name: &str, f: &mut dyn FnMut() -> Tensor<1>) {
    if let Some(o) = std::env::args().nth(1) { if o != name { return; } }

    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..7 {
        let t = Instant::now();
        let y = f();
        let a = t.elapsed().as_secs_f64();
        let t = Instant::now();
        let _g = y.backward();
        let b = t.elapsed().as_secs_f64();
        best = (best.0.min(a), best.1.min(b));
    }
    println!("{name:20} fwd {:8.2} ms bwd {:8.2} ms", best.0 * 1e3, best.1 * 1e3);
}
fn w<const D: usize>(y: Tensor<D>) -> Tensor<1> { let r = y.clone().detach().add_scalar(1.0); (y * r).sum() }
fn main() {
    let device = Device::flex().autodiff();
    let (b, s, d, h) = (64, 30, 192, 4);
    let r3 = |a, b, c| Tensor::<3>::random([a, b, c], Distribution::Default, &device).require_grad();
    let x = r3(b, s, d);
    let xi = r3(b, s, 4 * d);
    let lin = LinearConfig::new(d, d).init(&device);
    let l1 = LinearConfig::new(d, 4 * d).init(&device);
    let l2 = LinearConfig::new(4 * d, d).init(&device);
    let ln = LayerNormConfig::new(d).init(&device);
    let q = Tensor::<4>::random([b, h, s, d / h], Distribution::Default, &device).require_grad();
    let k = Tensor::<4>::random([b, h, d / h, s], Distribution::Default, &device).require_grad();
    let p = Tensor::<4>::random([b, h, s, s], Distribution::Default, &device).require_grad();
    time("sum", &mut || x.clone().sum());
    time("sum4d", &mut || xi.clone().sum());
    time("linear d d", &mut || w(lin.forward(x.clone())));
    time("linear d 4d", &mut || w(l1.forward(x.clone())));
    time("linear 4d d", &mut || w(l2.forward(xi.clone())));
    time("gelu 4d", &mut || gelu(xi.clone()).sum());
    time("gelu approx 4d", &mut || gelu_approximate(xi.clone()).sum());
    time("erf 4d", &mut || xi.clone().erf().sum());
    time("layernorm", &mut || ln.forward(x.clone()).sum());
    time("softmax", &mut || softmax(p.clone(), 3).sum());
    time("qk", &mut || q.clone().matmul(k.clone()).sum());
    time("pv", &mut || p.clone().matmul(q.clone()).sum());
    time("scale", &mut || (p.clone() / 7.0).sum());
    time("split", &mut || x.clone().reshape([b, s, h, d / h]).swap_dims(1, 2).sum());
    time("split+op", &mut || (x.clone().reshape([b, s, h, d / h]).swap_dims(1, 2) * 2.0).sum());
    time("join", &mut || (q.clone().swap_dims(1, 2).reshape([b, s, d]) * 2.0).sum());
    time("split k matmul", &mut || q.clone().matmul(x.clone().reshape([b, s, h, d / h]).permute([0, 2, 3, 1])).sum());
    time("residual", &mut || (x.clone() + x.clone()).sum());
    let dr = DropoutConfig::new(0.1).init();
    time("dropout", &mut || dr.forward(x.clone()).sum());
    time("dropout p", &mut || dr.forward(p.clone()).sum());
    let img = Tensor::<4>::random([b, 3, 64, 64], Distribution::Default, &device);
    for (ci, co, kk, hw) in [(3, 64, 4, 64), (64, 192, 2, 16), (192, 384, 2, 8), (384, 192, 1, 4)] {
        let conv = conv::Conv2dConfig::new([ci, co], [kk, kk]).with_stride([kk, kk]).init(&device);
        let im = Tensor::<4>::random([b, ci, hw, hw], Distribution::Default, &device).require_grad();
        let im = if ci == 3 { img.clone() } else { im };
        time(&format!("conv {ci} {co} {kk}"), &mut || w(conv.forward(im.clone())));
        let o = hw / kk;
        let lin = LinearConfig::new(ci * kk * kk, co).init(&device);
        time("  as linear", &mut || {
            let p = im.clone().reshape([b, ci, o, kk, o, kk]).permute([0, 2, 4, 1, 3, 5]).reshape([b * o * o, ci * kk * kk]);
            w(lin.forward(p))
        });
        let ln = LayerNormConfig::new(co).init(&device);
        let out = Tensor::<4>::random([b, co, o, o], Distribution::Default, &device).require_grad();
        time("  norm+relu", &mut || relu(ln.forward(out.clone().permute([0, 2, 3, 1]))).permute([0, 3, 1, 2]).sum());
    }
}
