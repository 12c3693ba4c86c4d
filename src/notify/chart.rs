//! Small pictures of numbers over time: columns for what was seen, a line for what was expected, an
//! area for what is held normal.
//!
//! No words are drawn. A mail program sets labels better, in its reader's size and colours, and a
//! screen reader can read them; so a picture may be stretched to any width. The ground is
//! transparent and every ink reads on white and on black. The same columns give the same bytes on
//! every machine: only whole pixels, and a compressor that does not ask what the processor can do.

use miniz_oxide::deflate::compress_to_vec_zlib;

use crate::incident::Chart;

/// Most columns of a picture; of more only the newest are drawn.
pub const COLUMNS_MAX: usize = 400;

/// Height of a picture in pixels: twice what it is shown with, for fine screens.
const HEIGHT: usize = 300;
/// Width that columns share, in pixels; rounded so that all are alike.
const WIDTH: usize = 1000;
/// Half the thickness of the line, and what it is set off with on either side.
const LINE: usize = 2;
const HALO: usize = 1;
/// Height of the stub that stands for nothing where something is said about it.
const STUB: usize = 6;

/// One step of time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Column {
    /// What was seen; `None` where nobody knows, which leaves a gap.
    pub seen: Option<f64>,
    /// What was expected; `None` where nothing had been learnt.
    pub expected: Option<f64>,
    /// Upper end of what is held normal.
    pub upper: Option<f64>,
    /// True for a column that the reader is to look at.
    pub marked: bool,
}

/// The columns of an incident's chart.
#[must_use]
pub fn columns(chart: &Chart) -> Vec<Column> {
    let column = |(at, seen): (usize, &f64)| Column {
        seen: Some(*seen),
        expected: chart.expected.get(at).copied().flatten(),
        upper: chart.upper.get(at).copied().flatten(),
        marked: (chart.from..chart.until).contains(&at),
    };
    let columns = chart.observed.iter().enumerate().map(column);
    columns.skip(chart.observed.len().saturating_sub(COLUMNS_MAX)).collect()
}

/// The value at the top of a picture, round enough to be said together with its half.
///
/// `None` when nothing of it is above zero: there is nothing to draw.
#[must_use]
pub fn top(columns: &[Column]) -> Option<f64> {
    let values = columns.iter().flat_map(|c| [c.seen, c.expected, c.upper]);
    let most = values.flatten().filter(|value| value.is_finite()).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let decade = 10_f64.powf(most.log10().floor());
    let tops = [1.0, 1.2, 1.6, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let top =
        tops.into_iter().map(|step| step * decade).find(|top| *top >= most && top.is_finite());
    Some(top.unwrap_or(most))
}

/// What a pixel shows; the number is its place in [`PALETTE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Ground,
    Grid,
    Band,
    Seen,
    Marked,
    Halo,
    Line,
}

/// Red, green, blue and opacity of each [`Ink`].
const PALETTE: [[u8; 4]; 7] = [
    [0, 0, 0, 0],
    [128, 140, 156, 90],
    [100, 130, 170, 56],
    [104, 146, 196, 255],
    [226, 61, 56, 255],
    [255, 255, 255, 210],
    [51, 65, 85, 255],
];

/// A picture of `columns` as PNG, from zero to `top`; the same input gives the same bytes.
#[must_use]
pub fn png(columns: &[Column], top: f64) -> Vec<u8> {
    let columns = columns.get(columns.len().saturating_sub(COLUMNS_MAX)..).unwrap_or_default();
    let each = (WIDTH / columns.len().max(1)).clamp(2, WIDTH / 5);
    let mut canvas = Canvas::new(each * columns.len().max(1));
    let height = |value: f64| pixels(share(value, top));
    for (at, column) in columns.iter().enumerate() {
        let span = at * each..(at + 1) * each;
        if let Some(upper) = column.upper {
            canvas.fill(span, 0..height(upper), Ink::Band);
        }
    }
    for line in [HEIGHT - 2, HEIGHT / 2, 0] {
        canvas.fill(0..canvas.width, line..line + 2, Ink::Grid);
    }
    let gap = if each >= 12 { each / 6 } else { usize::from(each >= 4) };
    for (at, column) in columns.iter().enumerate() {
        let span = at * each + gap / 2..(at + 1) * each - gap.div_ceil(2);
        let ink = if column.marked { Ink::Marked } else { Ink::Seen };
        if let Some(seen) = column.seen {
            let least = if column.marked || seen > 0.0 { STUB } else { 0 };
            canvas.fill(span, 0..height(seen).max(least), ink);
        }
    }
    for (ink, half) in [(Ink::Halo, LINE + HALO), (Ink::Line, LINE)] {
        let mut before = None;
        for (at, column) in columns.iter().enumerate() {
            let level = column.expected.map(|value| height(value).clamp(half, HEIGHT - half));
            if let Some(level) = level {
                let from = before.unwrap_or(level);
                canvas.fill(at * each..(at + 1) * each, level - half..level + half, ink);
                let riser = from.min(level) - half..from.max(level) + half;
                canvas.fill(at * each..at * each + 2 * half, riser, ink);
            }
            before = level;
        }
    }
    canvas.png()
}

/// The same in characters: lines from the top down, each as wide as there are columns.
///
/// `█` and its eighths stand for what was seen, `─` for what was expected and `┄` for the upper end
/// of what is held normal, where they show.
#[must_use]
pub fn lines(columns: &[Column], top: f64, rows: usize) -> Vec<String> {
    let row = |row: usize| {
        let cell = |column: &Column| {
            let eighths = |value: f64| eighths_of(share(value, top), rows);
            let seen = column
                .seen
                .map_or(0, |seen| eighths(seen).max(usize::from(column.marked || seen > 0.0)));
            let is_here = |value: Option<f64>| {
                value.is_some_and(|value| eighths(value).saturating_sub(1) / 8 == row)
            };
            match BARS.get(seen.saturating_sub(row * 8).min(8)) {
                Some(' ') if is_here(column.expected) => '─',
                Some(' ') if is_here(column.upper) => '┄',
                Some(bar) => *bar,
                None => ' ',
            }
        };
        columns.iter().map(cell).collect::<String>()
    };
    (0..rows).rev().map(row).collect()
}

/// One line of bars for `values`, all on the scale of `top`; a value above it is shown full.
#[must_use]
pub fn bars(values: &[f64], top: f64) -> String {
    let bar = |value: &f64| BARS.get(eighths_of(share(*value, top), 1)).copied().unwrap_or(' ');
    values.iter().map(bar).collect()
}

/// Eighths of a block, from nothing to full.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Part of `top`; nothing where there is no scale.
fn share(value: f64, top: f64) -> f64 {
    if top > 0.0 { value / top } else { 0.0 }
}

/// Height in pixels of a share of the whole; what is above is cut off, what is no number is 0.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the height")]
#[expect(clippy::cast_sign_loss, reason = "clamped to be positive")]
#[expect(clippy::cast_precision_loss, reason = "300 is exact")]
fn pixels(share: f64) -> usize {
    (share.clamp(0.0, 1.0) * HEIGHT as f64).round() as usize
}

/// The same in eighths of a character, rounded up so that little is not nothing.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the height")]
#[expect(clippy::cast_sign_loss, reason = "clamped to be positive")]
#[expect(clippy::cast_precision_loss, reason = "a few rows")]
fn eighths_of(share: f64, rows: usize) -> usize {
    (share.clamp(0.0, 1.0) * (rows * 8) as f64).ceil() as usize
}

/// Pixels as numbers of inks, row by row from the top.
struct Canvas {
    width: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(width: usize) -> Self {
        Self { width, pixels: vec![Ink::Ground as u8; width * HEIGHT] }
    }

    /// Paints a rectangle; `up` counts from the bottom.
    fn fill(&mut self, across: std::ops::Range<usize>, up: std::ops::Range<usize>, ink: Ink) {
        let across = across.start.min(self.width)..across.end.min(self.width);
        let rows = HEIGHT - up.end.min(HEIGHT)..HEIGHT - up.start.min(HEIGHT);
        for row in self.pixels.chunks_exact_mut(self.width).take(rows.end).skip(rows.start) {
            row.get_mut(across.clone()).unwrap_or_default().fill(ink as u8);
        }
    }

    /// The picture as PNG: four bits a pixel (W3C PNG, third edition: 5 and 11).
    fn png(&self) -> Vec<u8> {
        let mut scanlines = Vec::with_capacity((self.width / 2 + 2) * HEIGHT);
        for row in self.pixels.chunks_exact(self.width) {
            scanlines.push(0);
            let pairs = row.chunks(2).map(|pair| match pair {
                [left, right] => left << 4 | right,
                [left] => left << 4,
                _ => 0,
            });
            scanlines.extend(pairs);
        }
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let header = [&side(self.width)[..], &side(HEIGHT)[..], &[4, 3, 0, 0, 0]].concat();
        let colours: Vec<u8> = PALETTE.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect();
        let opacities = PALETTE.map(|[_, _, _, opacity]| opacity);
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut png, *b"IHDR", &header);
        chunk(&mut png, *b"PLTE", &colours);
        chunk(&mut png, *b"tRNS", &opacities);
        chunk(&mut png, *b"IDAT", &compress_to_vec_zlib(&scanlines, 6));
        chunk(&mut png, *b"IEND", &[]);
        png
    }
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    png.extend_from_slice(&length.to_be_bytes());
    png.extend_from_slice(&kind);
    png.extend_from_slice(body);
    let mut check = crc32fast::Hasher::new();
    check.update(&kind);
    check.update(body);
    png.extend_from_slice(&check.finalize().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use miniz_oxide::inflate::decompress_to_vec_zlib;

    use super::*;

    /// Rows of inks, read back from a picture by the rules of PNG.
    #[track_caller]
    fn read(png: &[u8]) -> Vec<Vec<u8>> {
        let (signature, mut rest) = png.split_at(8);
        assert_eq!(signature, b"\x89PNG\r\n\x1a\n");
        let mut chunks = Vec::new();
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (named, tail) = tail.split_at(4 + u32::from_be_bytes(*length) as usize);
            let (check, tail) = tail.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_be_bytes(*check), crc32fast::hash(named));
            chunks.push(named.split_at(4));
            rest = tail;
        }
        let names: Vec<&[u8]> = chunks.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [&b"IHDR"[..], b"PLTE", b"tRNS", b"IDAT", b"IEND"]);
        let header = chunks[0].1;
        let side = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap()) as usize;
        let (width, height) = (side(0), side(4));
        assert_eq!((header[8], header[9], chunks[1].1.len()), (4, 3, 3 * PALETTE.len()));
        let pixels = decompress_to_vec_zlib(chunks[3].1).unwrap();
        let rows: Vec<Vec<u8>> = pixels
            .chunks(1 + width.div_ceil(2))
            .map(|line| line[1..].iter().flat_map(|pair| [pair >> 4, pair & 15]).take(width))
            .map(Iterator::collect)
            .collect();
        assert_eq!(rows.len(), height);
        assert!(rows.iter().flatten().all(|ink| usize::from(*ink) < PALETTE.len()));
        rows
    }

    fn seen(value: f64) -> Column {
        Column { seen: Some(value), ..Column::default() }
    }

    /// How many pixels of the middle of each column have this ink.
    fn heights(rows: &[Vec<u8>], count: usize, ink: Ink) -> Vec<usize> {
        let middle = |at: usize| (2 * at + 1) * rows[0].len() / (2 * count);
        let is = |row: &&Vec<u8>, at: usize| row[middle(at)] == ink as u8;
        (0..count).map(|at| rows.iter().filter(|row| is(row, at)).count()).collect()
    }

    #[test]
    fn columns_are_as_high_as_their_values() {
        let marked = |value| Column { marked: true, ..seen(value) };
        let gap = Column::default();
        let columns = [seen(25.0), seen(0.0), seen(0.001), gap, marked(100.0), marked(0.0)];
        let rows = read(&png(&columns, 100.0));
        assert_eq!(heights(&rows, 6, Ink::Seen), [75, 0, STUB, 0, 0, 0]);
        assert_eq!(heights(&rows, 6, Ink::Marked), [0, 0, 0, 0, HEIGHT, STUB]);
        assert_eq!(lines(&columns, 100.0, 2), ["    █ ", "▄ ▁ █▁"]);
        assert_eq!(bars(&[0.0, 1.0, 4.0, 8.0, 99.0], 8.0), " ▁▄██");
        assert_eq!(bars(&[1.0, f64::NAN], 0.0), "  ");
    }

    #[test]
    fn what_was_expected_is_drawn_over_what_was_seen() {
        let column = Column { expected: Some(50.0), upper: Some(75.0), ..seen(10.0) };
        let unlearnt = seen(90.0);
        let columns = [column, Column { seen: Some(60.0), ..column }, unlearnt];
        let rows = read(&png(&columns, 100.0));
        assert_eq!(heights(&rows, 3, Ink::Line), [2 * LINE, 2 * LINE, 0]);
        let level = |at: usize| rows.iter().position(|row| row[at] == Ink::Line as u8);
        assert_eq!(level(0), Some(HEIGHT / 2 - LINE));
        assert_eq!(heights(&rows, 3, Ink::Band)[2], 0);
        assert!(heights(&rows, 3, Ink::Band)[0] > HEIGHT / 2);
        assert_eq!(lines(&columns, 100.0, 4), ["  ▅", "┄▄█", "─██", "▄██"]);
    }

    #[test]
    fn the_top_is_a_round_number_above_everything() {
        let check = |most: f64, round: Option<f64>| {
            let below = Column { expected: Some(most / 2.0), upper: Some(-1.0), ..seen(most) };
            assert_eq!(top(&[Column::default(), below]), round, "{most}");
        };
        check(0.0, None);
        check(f64::NAN, None);
        check(f64::INFINITY, None);
        check(1.0, Some(1.0));
        check(4_812_330.0, Some(5_000_000.0));
        check(0.013, Some(0.016));
        check(99.0, Some(100.0));
        check(f64::MAX, Some(f64::MAX));
        assert_eq!(top(&[]), None);
    }

    #[test]
    fn pictures_stay_small_whatever_is_drawn() {
        let edges = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, f64::MAX, 7.0, 1e-3];
        let mut random = fastrand::Rng::with_seed(7);
        for count in [0, 1, 2, 7, 60, 288, COLUMNS_MAX, COLUMNS_MAX + 5, 20_000] {
            let mut value = || match random.usize(0..12) {
                0 => None,
                at => Some(edges.get(at).copied().unwrap_or_else(|| random.f64())),
            };
            let columns: Vec<Column> = (0..count)
                .map(|_| Column {
                    seen: value(),
                    expected: value(),
                    upper: value(),
                    marked: value().is_some_and(|value| value > 0.5),
                })
                .collect();
            for top in [1.0, 0.0, f64::NAN, f64::MIN_POSITIVE, f64::MAX] {
                let picture = png(&columns, top);
                assert!(picture.len() < 24_000, "{count} columns: {} bytes", picture.len());
                let rows = read(&picture);
                assert!((2..=WIDTH).contains(&rows[0].len()), "{}", rows[0].len());
                assert_eq!(picture, png(&columns, top));
            }
        }
    }
}
