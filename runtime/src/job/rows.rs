//! Output rows: what the input had, then what the job found, then what went wrong.

use mbsd_data::{BadRow, Column, Product};
use mbsd_spec::{RowError, Variant};

use super::output::{Field, FieldType, OutputColumn};

/// Columns every output about products starts with.
const LEADING: [&str; 3] = ["id", "title", "image"];

/// Columns every output about products ends with.
const TRAILING: [&str; 2] = ["variant", "error"];

/// The columns of an output about products: `id`, `title`, `image` (a path), the input's further columns, the job's own,
/// `variant`, `error`. An input column named as one of the others is called `input_` + its name.
pub(super) fn product_columns(input: &[Column], own: &[OutputColumn]) -> Vec<OutputColumn> {
    let text = |name: &str| OutputColumn::new(name, FieldType::Text);
    let mut taken: Vec<String> = LEADING.into_iter().chain(TRAILING).map(str::to_owned).collect();
    taken.extend(own.iter().map(|column| column.name.clone()));
    // Names that need no change come first, so that they are the ones that keep theirs.
    taken.extend(input.iter().map(|column| column.name.clone()));
    let mut columns: Vec<OutputColumn> = LEADING.map(text).into();
    for column in input {
        let mut name = column.name.clone();
        if taken.iter().filter(|taken| **taken == name).count() > 1 {
            while taken.contains(&name) {
                name.insert_str(0, "input_");
            }
            taken.push(name.clone());
        }
        columns.push(OutputColumn::new(name, FieldType::Input(column.ty)));
    }
    columns.extend_from_slice(own);
    columns.extend(TRAILING.map(text));
    columns
}

/// The fields of one row, in the order of [`product_columns`]. `further` is the number of the input's further columns,
/// `own` the job's fields, null where the row has none.
pub(super) fn product_fields(
    product: Result<Product, BadRow>,
    further: usize,
    own: Result<(Vec<Field>, Variant), (usize, RowError)>,
) -> Vec<Field> {
    let (id, title, image, columns) = match product {
        Ok(product) => {
            let image = product.image.as_ref().and_then(|image| image.path().map(str::to_owned));
            (Some(product.id), product.title, image, product.columns)
        }
        Err(bad) => (bad.id, None, None, bad.columns),
    };
    let mut fields = vec![Field::text(id), Field::text(title), Field::text(image)];
    let mut columns = columns.into_iter();
    fields.extend((0..further).map(|_| columns.next().map_or(Field::Null, Field::Value)));
    match own {
        Ok((own, variant)) => {
            fields.extend(own);
            fields.extend([Field::text(Some(variant.name())), Field::Null]);
        }
        Err((width, error)) => {
            fields.extend((0..width).map(|_| Field::Null));
            fields.extend([Field::Null, Field::text(Some(error.to_string()))]);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use mbsd_data::ColumnType;

    use super::*;

    #[test]
    fn a_column_named_as_a_result_is_renamed() {
        let column = |name: &str| Column { name: name.to_owned(), ty: ColumnType::Int };
        let own = [OutputColumn::new("tags", FieldType::Scores("tag"))];
        let names = |input: &[Column]| -> Vec<String> {
            product_columns(input, &own).into_iter().map(|column| column.name).collect()
        };
        assert_eq!(names(&[column("price")]), ["id", "title", "image", "price", "tags", "variant", "error"]);
        assert_eq!(
            names(&[column("tags"), column("input_tags"), column("error")]),
            ["id", "title", "image", "input_input_tags", "input_tags", "input_error", "tags", "variant", "error"]
        );
    }
}
