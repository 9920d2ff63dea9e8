//! Product pictures: what a product looks like, and nothing of what its title says.

use super::canvas::{Canvas, Point, Pose, Rgb, Shape};
use super::random::Random;

/// Side of a picture, in pixels.
pub(crate) const SIDE: u16 = 96;

/// All that a picture depends on beside chance, as indices of the values in [`super::attributes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looks {
    /// Value of the type.
    pub(crate) kind: usize,
    /// Value of the colour.
    pub(crate) colour: usize,
    /// Value of the pattern.
    pub(crate) pattern: usize,
    /// Value of the sleeve length, where there are sleeves.
    pub(crate) sleeve: Option<usize>,
}

/// Body colours, in the order of [`super::attributes::COLOUR`].
const COLOURS: [Rgb; 6] = [
    [204.0, 40.0, 42.0],
    [240.0, 202.0, 46.0],
    [46.0, 142.0, 72.0],
    [42.0, 88.0, 194.0],
    [246.0, 246.0, 244.0],
    [34.0, 34.0, 38.0],
];

/// Tones of the walls products are pictured before: far from every body colour.
const WALLS: [Rgb; 5] =
    [[176.0, 178.0, 180.0], [190.0, 178.0, 160.0], [160.0, 176.0, 186.0], [172.0, 184.0, 168.0], [150.0, 150.0, 152.0]];

const METAL: Rgb = [92.0, 94.0, 98.0];
const RUBBER: Rgb = [226.0, 222.0, 212.0];

/// A drawn product: `SIDE` x `SIDE` pixels, three bytes each, rows from the top.
pub(crate) fn draw(looks: Looks, random: &mut Random) -> Vec<u8> {
    let (upper, lower) = (*random.pick(&WALLS), *random.pick(&WALLS));
    let lean = random.between(-0.4, 0.4);
    let mut canvas = Canvas::new(usize::from(SIDE), |(x, y)| {
        let t = (y + lean * (x - 0.5)).clamp(0.0, 1.0);
        std::array::from_fn(|c| upper[c] + (lower[c] - upper[c]) * t)
    });
    let pose = Pose {
        scale: random.between(0.98, 1.12),
        angle: random.between(-0.1, 0.1),
        centre: (random.between(0.47, 0.53), random.between(0.47, 0.53)),
        mirrored: random.chance(0.5),
    };
    canvas.shade((pose.centre.0, pose.centre.1 + 0.36 * pose.scale), (0.42, 0.14), 0.45);

    let jitter: Rgb = std::array::from_fn(|_| random.between(-10.0, 10.0));
    let base: Rgb = std::array::from_fn(|c| COLOURS[looks.colour][c] + jitter[c]);
    let print = Print::new(looks.pattern, base, random);
    let body = |place: Point| print.at(place).map(|channel| channel * (1.1 - 0.22 * place.1));
    let edge = move |_: Point| base.map(|channel| channel * 0.72);
    for (shape, part) in parts(looks) {
        match part {
            Part::Body => canvas.fill(&shape, pose, body),
            Part::Edge => canvas.fill(&shape, pose, edge),
            Part::Metal => canvas.fill(&shape, pose, |_| METAL),
            Part::Rubber => canvas.fill(&shape, pose, |_| RUBBER),
        }
    }
    let light = random.between(0.9, 1.08);
    canvas.into_rgb8(|channel| channel * light + random.between(-7.0, 7.0))
}

/// The print of a body: its colour and a second one in stripes or dots.
struct Print {
    pattern: usize,
    base: Rgb,
    second: Rgb,
    period: f32,
    shift: Point,
    turn: f32,
}

impl Print {
    fn new(pattern: usize, base: Rgb, random: &mut Random) -> Self {
        let bright = base.iter().sum::<f32>() > 480.0;
        let second = if bright { base.map(|channel| channel * 0.45) } else { base.map(|c| c + (255.0 - c) * 0.8) };
        Self {
            pattern,
            base,
            second,
            period: random.between(0.15, 0.18),
            shift: (random.between(0.0, 1.0), random.between(0.0, 1.0)),
            turn: random.between(-0.2, 0.2),
        }
    }

    fn at(&self, (x, y): Point) -> Rgb {
        let (sin, cos) = self.turn.sin_cos();
        let u = ((x * cos - y * sin) / self.period + self.shift.0).rem_euclid(1.0);
        let v = ((x * sin + y * cos) / self.period + self.shift.1).rem_euclid(1.0);
        let mix = match self.pattern {
            1 => f32::from(u8::from(v < 0.36)),
            2 => f32::from(u8::from((u - 0.5).hypot(v - 0.5) < 0.3)),
            _ => 0.0,
        };
        std::array::from_fn(|c| self.base[c] + (self.second[c] - self.base[c]) * mix)
    }
}

/// What a part of a product is made to look like.
enum Part {
    Body,
    Edge,
    Metal,
    Rubber,
}

/// The parts of a product, those behind first. Types are in the order of [`super::attributes::TYPES`].
fn parts(looks: Looks) -> Vec<(Shape, Part)> {
    let body = |points: &[Point]| (Shape::Polygon(points.to_vec()), Part::Body);
    let edge = |points: &[Point]| (Shape::Polygon(points.to_vec()), Part::Edge);
    let mut parts = Vec::new();
    if let Some(sleeve) = looks.sleeve {
        let points: &[Point] = if sleeve == 0 {
            &[(0.34, 0.2), (0.12, 0.36), (0.21, 0.47), (0.34, 0.38)]
        } else {
            &[(0.34, 0.2), (0.22, 0.28), (0.06, 0.76), (0.17, 0.8), (0.34, 0.42)]
        };
        parts.extend(Shape::mirrored(points).map(|shape| (shape, Part::Body)));
    }
    match looks.kind {
        0 => {
            parts.push(body(&[(0.31, 0.2), (0.69, 0.2), (0.7, 0.82), (0.3, 0.82)]));
            parts.push((Shape::Ellipse((0.5, 0.2), (0.1, 0.05)), Part::Edge));
        }
        1 => {
            parts.push(body(&[(0.33, 0.18), (0.67, 0.18), (0.62, 0.46), (0.82, 0.92), (0.18, 0.92), (0.38, 0.46)]));
            parts.push(edge(&[(0.42, 0.175), (0.58, 0.175), (0.5, 0.29)]));
            parts.push(edge(&[(0.375, 0.44), (0.625, 0.44), (0.63, 0.48), (0.37, 0.48)]));
        }
        2 => {
            parts.push(body(&[
                (0.32, 0.1),
                (0.68, 0.1),
                (0.74, 0.92),
                (0.55, 0.92),
                (0.5, 0.36),
                (0.45, 0.92),
                (0.26, 0.92),
            ]));
            parts.push(edge(&[(0.32, 0.1), (0.68, 0.1), (0.685, 0.16), (0.315, 0.16)]));
        }
        3 => {
            parts.push(body(&[
                (0.1, 0.36),
                (0.36, 0.32),
                (0.5, 0.48),
                (0.76, 0.53),
                (0.9, 0.64),
                (0.9, 0.72),
                (0.1, 0.72),
            ]));
            parts.push(edge(&[(0.1, 0.36), (0.36, 0.32), (0.37, 0.36), (0.1, 0.41)]));
            parts.push((Shape::Polygon(vec![(0.08, 0.71), (0.92, 0.71), (0.92, 0.79), (0.08, 0.79)]), Part::Rubber));
        }
        4 => {
            parts.push((Shape::Ring((0.5, 0.42), 0.2, 0.05, 0.0..0.45), Part::Edge));
            parts.push(body(&[(0.2, 0.4), (0.8, 0.4), (0.88, 0.88), (0.12, 0.88)]));
            parts.push((Shape::Ellipse((0.5, 0.47), (0.04, 0.04)), Part::Metal));
        }
        _ => {
            parts.push((Shape::Ring((0.68, 0.52), 0.15, 0.07, 0.0..1.0), Part::Edge));
            parts.push(body(&[(0.2, 0.26), (0.68, 0.26), (0.65, 0.84), (0.23, 0.84)]));
            parts.push((Shape::Ellipse((0.44, 0.26), (0.24, 0.045)), Part::Edge));
        }
    }
    parts
}
