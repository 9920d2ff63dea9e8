//! Pairs of products that stand in the row itself: two titles, two images and a label, without ids.

use std::path::{Path, PathBuf};

use crate::error::{BadRow, ReadError, codes, row_error};
use crate::product::{AbsentImages, Ids, Keep, Product, ProductOptions, Products};
use crate::tags::truth;

/// Two products of a row.
#[derive(Debug, Clone)]
pub struct ProductPair {
    /// The first product; its id is `source-` and the row's number.
    pub source: Product,
    /// The second product; its id is `target-` and the row's number.
    pub target: Product,
    /// Whether they are the same, where a label column was asked for.
    pub label: Option<bool>,
}

impl ProductPair {
    /// What the id of a first product begins with, before the row's number.
    pub const SOURCE: &str = "source-";
    /// The same of a second product.
    pub const TARGET: &str = "target-";
}

/// How such pairs lie in a file.
#[derive(Debug, Clone)]
pub struct ProductPairOptions {
    /// Columns of the first product: title, image.
    pub source_columns: [String; 2],
    /// Columns of the second product: title, image.
    pub target_columns: [String; 2],
    /// Column of the label; a row without a label is then a bad row.
    pub label_column: Option<String>,
    /// The columns of a CSV or TSV file without a header line, from left to right.
    pub header: Option<Vec<String>>,
    /// What becomes of images that cannot be had.
    pub absent_images: AbsentImages,
    /// Folder of the image paths; the folder of the input file where `None`.
    pub images: Option<PathBuf>,
}

impl Default for ProductPairOptions {
    fn default() -> Self {
        let columns = |side: &str| [format!("{side}_title"), format!("{side}_image")];
        Self {
            source_columns: columns("source"),
            target_columns: columns("target"),
            label_column: None,
            header: None,
            absent_images: AbsentImages::Refuse,
            images: None,
        }
    }
}

/// The pairs of a file, in its order. The file is read twice, side by side.
#[derive(Debug)]
pub struct ProductPairs {
    sources: Products,
    targets: Products,
    label_column: Option<String>,
}

impl ProductPairs {
    /// Opens an input as [`crate::Products::open`] does.
    ///
    /// # Errors
    /// See [`ReadError`]; a missing column is reported with the columns there are.
    pub fn open(path: impl AsRef<Path>, options: &ProductPairOptions) -> Result<Self, ReadError> {
        let side = |[title, image]: &[String; 2], ids: &str, keep: Vec<String>| {
            let options = ProductOptions {
                title_column: title.clone(),
                image_column: image.clone(),
                keep: Keep::Named(keep),
                ids: Ids::Rows(ids.to_owned()),
                absent_images: options.absent_images,
                header: options.header.clone(),
                images: options.images.clone(),
                ..ProductOptions::default()
            };
            Products::open(path.as_ref(), &options)
        };
        let label = options.label_column.clone();
        Ok(Self {
            sources: side(&options.source_columns, ProductPair::SOURCE, label.clone().into_iter().collect())?,
            targets: side(&options.target_columns, ProductPair::TARGET, Vec::new())?,
            label_column: label,
        })
    }
}

impl Iterator for ProductPairs {
    type Item = Result<ProductPair, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let (source, target) = (self.sources.next()?, self.targets.next()?);
        Some(source.and_then(|source| {
            let target = target?;
            let label = match &self.label_column {
                None => None,
                Some(column) => Some(source.columns.first().and_then(truth).ok_or_else(|| BadRow {
                    row: source.row,
                    id: None,
                    columns: Vec::new(),
                    error: row_error(codes::INVALID_LABEL, format!("`{column}` is none of 0, 1, false, true")),
                })?),
            };
            Ok(ProductPair { source, target, label })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_products_and_the_label_come_from_one_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        std::fs::write(
            &path,
            "0\t圆桌\ti1/a.jpg\t餐桌\ti2/b.jpg\t1\n1\t桌\ti1/c.jpg\t椅\t\tno\n1\t椅\thttps://x/y.jpg\t桌\t\t0\n",
        )
        .unwrap();
        std::fs::create_dir(folder.path().join("i1")).unwrap();
        std::fs::write(folder.path().join("i1/a.jpg"), b"A").unwrap();
        let header = ["id", "source_title", "source_image", "target_title", "target_image", "same"];
        let options = ProductPairOptions {
            label_column: Some("same".to_owned()),
            header: Some(header.map(str::to_owned).to_vec()),
            absent_images: AbsentImages::Drop,
            ..ProductPairOptions::default()
        };
        let pairs: Vec<_> = ProductPairs::open(&path, &options).unwrap().collect();
        let first = pairs[0].as_ref().unwrap();
        assert_eq!((first.source.id.as_str(), first.target.id.as_str()), ("source-1", "target-1"));
        assert_eq!((first.source.title.as_deref(), first.target.title.as_deref()), (Some("圆桌"), Some("餐桌")));
        assert!(first.source.image.is_some() && first.target.image.is_none(), "only files that are there are images");
        assert_eq!(first.label, Some(true));
        let error = pairs[1].as_ref().unwrap_err().to_string();
        assert_eq!(error, "row 2: invalid_label: `same` is none of 0, 1, false, true");
        let last = pairs[2].as_ref().unwrap();
        assert!(last.source.image.is_none() && last.label == Some(false));
    }
}
