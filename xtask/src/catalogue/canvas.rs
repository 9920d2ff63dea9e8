//! A small software rasteriser: shapes in unit coordinates, filled with paint, edges smoothed by 2 x 2 samples a pixel.

use std::ops::Range;

/// A colour, 0 to 255 a channel.
pub(crate) type Rgb = [f32; 3];

/// A point in the unit square; y grows downwards.
pub(crate) type Point = (f32, f32);

/// An area of the unit square.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// A simple polygon.
    Polygon(Vec<Point>),
    /// An axis-parallel ellipse: centre and radii.
    Ellipse(Point, Point),
    /// A circular ring: centre, radius of its middle line, thickness; only the part with `y` inside the range.
    Ring(Point, f32, f32, Range<f32>),
}

impl Shape {
    /// The polygon and its mirror image about the line x = 0.5.
    pub(crate) fn mirrored(points: &[Point]) -> [Self; 2] {
        [Self::Polygon(points.to_vec()), Self::Polygon(points.iter().map(|&(x, y)| (1.0 - x, y)).collect())]
    }

    fn contains(&self, (x, y): Point) -> bool {
        match self {
            Self::Polygon(points) => {
                let mut inside = false;
                let mut previous = points[points.len() - 1];
                for &point in points {
                    let crosses = (point.1 > y) != (previous.1 > y);
                    if crosses && x < (previous.0 - point.0) * (y - point.1) / (previous.1 - point.1) + point.0 {
                        inside = !inside;
                    }
                    previous = point;
                }
                inside
            }
            Self::Ellipse(centre, radii) => {
                ((x - centre.0) / radii.0).powi(2) + ((y - centre.1) / radii.1).powi(2) <= 1.0
            }
            Self::Ring(centre, radius, thickness, rows) => {
                rows.contains(&y) && ((x - centre.0).hypot(y - centre.1) - radius).abs() <= thickness / 2.0
            }
        }
    }

    /// The box around the shape: least and greatest corner.
    fn bounds(&self) -> (Point, Point) {
        match self {
            Self::Polygon(points) => {
                points.iter().fold(((f32::MAX, f32::MAX), (f32::MIN, f32::MIN)), |(low, high), &(x, y)| {
                    ((low.0.min(x), low.1.min(y)), (high.0.max(x), high.1.max(y)))
                })
            }
            Self::Ellipse(c, r) => ((c.0 - r.0, c.1 - r.1), (c.0 + r.0, c.1 + r.1)),
            Self::Ring(c, radius, thickness, _) => {
                let r = radius + thickness / 2.0;
                ((c.0 - r, c.1 - r), (c.0 + r, c.1 + r))
            }
        }
    }
}

/// How an object lies in the picture: shrunk, turned about its centre, moved, perhaps mirrored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pose {
    /// Size, 1 fills the picture.
    pub(crate) scale: f32,
    /// Turn, in radians.
    pub(crate) angle: f32,
    /// Where its centre lies.
    pub(crate) centre: Point,
    /// Left and right exchanged.
    pub(crate) mirrored: bool,
}

impl Pose {
    fn to_picture(self, (x, y): Point) -> Point {
        let x = if self.mirrored { 0.5 - x } else { x - 0.5 } * self.scale;
        let y = (y - 0.5) * self.scale;
        let (sin, cos) = self.angle.sin_cos();
        (x * cos - y * sin + self.centre.0, x * sin + y * cos + self.centre.1)
    }

    fn to_object(self, (x, y): Point) -> Point {
        let (x, y) = (x - self.centre.0, y - self.centre.1);
        let (sin, cos) = self.angle.sin_cos();
        let (x, y) = ((x * cos + y * sin) / self.scale, (y * cos - x * sin) / self.scale);
        (if self.mirrored { 0.5 - x } else { x + 0.5 }, y + 0.5)
    }
}

/// A square picture in the making.
#[derive(Debug)]
pub(crate) struct Canvas {
    side: usize,
    pixels: Vec<Rgb>,
}

/// Samples along each side of a pixel.
const SAMPLES: usize = 2;

impl Canvas {
    /// A picture of `side` x `side` pixels whose pixels come from their place in the unit square.
    pub(crate) fn new(side: usize, mut background: impl FnMut(Point) -> Rgb) -> Self {
        let place = |i: usize| (i as f32 + 0.5) / side as f32;
        let pixels = (0..side * side).map(|i| background((place(i % side), place(i / side)))).collect();
        Self { side, pixels }
    }

    /// Fills a shape; `paint` gets places in the object's own coordinates, so that a print turns with its product.
    pub(crate) fn fill(&mut self, shape: &Shape, pose: Pose, paint: impl Fn(Point) -> Rgb) {
        let (low, high) = shape.bounds();
        let corners = [low, (high.0, low.1), high, (low.0, high.1)].map(|corner| pose.to_picture(corner));
        let span = |values: [f32; 4]| {
            let low = values.iter().copied().fold(f32::MAX, f32::min) * self.side as f32;
            let high = values.iter().copied().fold(f32::MIN, f32::max) * self.side as f32;
            (low.floor().max(0.0) as usize)..(high.ceil().clamp(0.0, self.side as f32) as usize)
        };
        let (columns, rows) = (span(corners.map(|c| c.0)), span(corners.map(|c| c.1)));
        let step = 1.0 / (self.side * SAMPLES) as f32;
        for row in rows {
            for column in columns.clone() {
                let mut sum = [0.0; 3];
                let mut covered = 0;
                for sample in 0..SAMPLES * SAMPLES {
                    let x = ((column * SAMPLES + sample % SAMPLES) as f32 + 0.5) * step;
                    let y = ((row * SAMPLES + sample / SAMPLES) as f32 + 0.5) * step;
                    let place = pose.to_object((x, y));
                    if shape.contains(place) {
                        covered += 1;
                        let colour = paint(place);
                        sum = std::array::from_fn(|c| sum[c] + colour[c]);
                    }
                }
                if covered > 0 {
                    let pixel = &mut self.pixels[row * self.side + column];
                    let rest = (SAMPLES * SAMPLES - covered) as f32;
                    *pixel = std::array::from_fn(|c| (sum[c] + pixel[c] * rest) / (SAMPLES * SAMPLES) as f32);
                }
            }
        }
    }

    /// Darkens a shape's area by a factor, as a soft shadow does.
    pub(crate) fn shade(&mut self, centre: Point, radii: Point, strength: f32) {
        for (i, pixel) in self.pixels.iter_mut().enumerate() {
            let x = ((i % self.side) as f32 + 0.5) / self.side as f32;
            let y = ((i / self.side) as f32 + 0.5) / self.side as f32;
            let distance = ((x - centre.0) / radii.0).powi(2) + ((y - centre.1) / radii.1).powi(2);
            if distance < 1.0 {
                *pixel = pixel.map(|channel| channel * (1.0 - strength * (1.0 - distance)));
            }
        }
    }

    /// The pixels, rows from the top, three bytes each, after `change` of every channel value.
    pub(crate) fn into_rgb8(self, mut change: impl FnMut(f32) -> f32) -> Vec<u8> {
        self.pixels.iter().flatten().map(|&channel| change(channel).clamp(0.0, 255.0).round() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pose_and_its_inverse_cancel() {
        let pose = Pose { scale: 0.7, angle: 0.3, centre: (0.45, 0.6), mirrored: true };
        let (x, y) = pose.to_object(pose.to_picture((0.2, 0.9)));
        assert!((x - 0.2).abs() < 1e-5 && (y - 0.9).abs() < 1e-5, "{x} {y}");
    }

    #[test]
    fn a_filled_shape_covers_its_area_and_nothing_else() {
        let pose = Pose { scale: 1.0, angle: 0.0, centre: (0.5, 0.5), mirrored: false };
        let red_share = |shape: &Shape| {
            let mut canvas = Canvas::new(64, |_| [0.0; 3]);
            canvas.fill(shape, pose, |_| [255.0, 0.0, 0.0]);
            let rgb = canvas.into_rgb8(|v| v);
            assert!(rgb.chunks(3).all(|p| p[1] == 0 && p[2] == 0));
            rgb.chunks(3).map(|p| f32::from(p[0])).sum::<f32>() / (255.0 * 64.0 * 64.0)
        };
        for (shape, area) in [
            (Shape::Polygon(vec![(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]), 0.25),
            (Shape::Ellipse((0.5, 0.5), (0.4, 0.2)), std::f32::consts::PI * 0.08),
            (Shape::Ring((0.5, 0.5), 0.3, 0.1, 0.0..0.5), std::f32::consts::PI * 0.03),
        ] {
            let share = red_share(&shape);
            assert!((share - area).abs() < 0.01, "{shape:?} covers {share}, not {area}");
        }
    }
}
