//! Which graph a product goes through, by what it has.

use mbsd_spec::{RowError, Variant};

/// What a product has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modalities {
    /// A title with at least one token.
    pub title: bool,
    /// An image.
    pub image: bool,
}

/// The variant for a product: text and image through `full`, either alone through its own graph.
///
/// A product with both, in a bundle without a full graph, goes through `text`, else through `image`, and the other
/// modality is not looked at. With `forced`, the product goes through that variant and its other modality is left
/// aside.
///
/// # Errors
/// Code `no_content` (neither title nor image), `missing_modality` (the forced variant needs what the product lacks) or
/// `no_variant` (the bundle has no graph for what the product has; the message says which).
pub fn route(has: Modalities, available: &[Variant], forced: Option<Variant>) -> Result<Variant, RowError> {
    if !has.title && !has.image {
        return Err(RowError::new("no_content", "the product has neither a title nor an image"));
    }
    if let Some(variant) = forced {
        let lacks = match variant {
            Variant::Full | Variant::Text if !has.title => Some("title"),
            Variant::Full | Variant::Image if !has.image => Some("image"),
            _ => None,
        };
        return match lacks {
            Some(what) => {
                Err(RowError::new("missing_modality", format!("{variant} needs a {what}, and there is none")))
            }
            None => Ok(variant),
        };
    }
    let wanted: &[Variant] = match (has.title, has.image) {
        (true, true) => &Variant::ENCODERS,
        (true, false) => &[Variant::Text],
        _ => &[Variant::Image],
    };
    wanted.iter().copied().find(|variant| available.contains(variant)).ok_or_else(|| {
        let has = if has.title { "a title" } else { "an image" };
        let present = available.iter().map(|variant| variant.name()).collect::<Vec<_>>().join(", ");
        let message = format!("the product has only {has} and the bundle no {} graph; it has: {present}", wanted[0]);
        RowError::new("no_variant", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Modalities = Modalities { title: true, image: true };
    const TITLE: Modalities = Modalities { title: true, image: false };
    const IMAGE: Modalities = Modalities { title: false, image: true };
    const NEITHER: Modalities = Modalities { title: false, image: false };

    fn outcome(has: Modalities, available: &[Variant], forced: Option<Variant>) -> Result<Variant, &'static str> {
        route(has, available, forced).map_err(|error| error.code)
    }

    #[test]
    fn a_product_goes_where_all_it_has_is_used() {
        let all = Variant::ENCODERS;
        assert_eq!(outcome(BOTH, &all, None), Ok(Variant::Full));
        assert_eq!(outcome(TITLE, &all, None), Ok(Variant::Text));
        assert_eq!(outcome(IMAGE, &all, None), Ok(Variant::Image));
        assert_eq!(outcome(NEITHER, &all, None), Err("no_content"));
    }

    #[test]
    fn what_the_bundle_lacks_is_named() {
        assert_eq!(outcome(BOTH, &[Variant::Text, Variant::Image], None), Ok(Variant::Text));
        assert_eq!(outcome(BOTH, &[Variant::Image], None), Ok(Variant::Image));
        let error = route(IMAGE, &[Variant::Full, Variant::Text], None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no_variant: the product has only an image and the bundle no image graph; it has: full, text"
        );
        assert_eq!(outcome(TITLE, &[Variant::Full], None), Err("no_variant"));
    }

    #[test]
    fn a_forced_variant_needs_its_modalities_and_drops_the_other() {
        let all = Variant::ENCODERS;
        assert_eq!(outcome(BOTH, &all, Some(Variant::Text)), Ok(Variant::Text));
        assert_eq!(outcome(BOTH, &all, Some(Variant::Image)), Ok(Variant::Image));
        assert_eq!(outcome(TITLE, &all, Some(Variant::Full)), Err("missing_modality"));
        assert_eq!(outcome(TITLE, &all, Some(Variant::Image)), Err("missing_modality"));
        assert_eq!(outcome(IMAGE, &all, Some(Variant::Text)), Err("missing_modality"));
        assert_eq!(outcome(NEITHER, &all, Some(Variant::Text)), Err("no_content"));
    }
}
