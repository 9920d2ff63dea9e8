//! What a product of the catalogue can be: attributes, their values, and where the evidence for each lies.

/// Where a product tells the value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// In the picture only: no title names it.
    Seen,
    /// In the title only: the picture does not depend on it.
    Read,
}

impl Evidence {
    /// How a report says it.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::Seen => "only to be seen",
            Self::Read => "only to be read",
        }
    }
}

/// An attribute and its values. `Colour` and `Red` make the tag `Colour:Red`.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// Name, in one language: what its tags begin with.
    pub(crate) name: &'static str,
    /// The name in English, lower case.
    pub(crate) english: &'static str,
    /// Where it shows.
    pub(crate) evidence: Evidence,
    /// Values; a product that has the attribute has exactly one of them.
    pub(crate) values: &'static [Value],
}

/// A value of an attribute.
#[derive(Debug)]
pub(crate) struct Value {
    /// The value's name in tags.
    pub(crate) name: &'static str,
    /// The words by which a title says it, in English and in Chinese; none where it is only to be seen.
    pub(crate) words: Option<[&'static str; 2]>,
}

const fn seen(name: &'static str) -> Value {
    Value { name, words: None }
}

const fn read(name: &'static str, english: &'static str, chinese: &'static str) -> Value {
    Value { name, words: Some([english, chinese]) }
}

/// What a product is. Its picture shows it and its title ends with it; no tag asks for it.
pub(crate) const TYPES: [Value; 6] = [
    read("T-shirt", "T-shirt", "T恤"),
    read("Dress", "dress", "连衣裙"),
    read("Trousers", "trousers", "长裤"),
    read("Shoe", "shoe", "运动鞋"),
    read("Bag", "bag", "手提包"),
    read("Mug", "mug", "马克杯"),
];

/// Short and long: how sleeves are drawn. No tag asks for it.
pub(crate) const SLEEVE_LENGTHS: usize = 2;

/// The colour of its body.
pub(crate) const COLOUR: Attribute = Attribute {
    name: "Colour",
    english: "colour",
    evidence: Evidence::Seen,
    values: &[seen("Red"), seen("Yellow"), seen("Green"), seen("Blue"), seen("White"), seen("Black")],
};

/// What is printed on it: plain, striped, dotted.
pub(crate) const PATTERN: Attribute = Attribute {
    name: "图案",
    english: "pattern",
    evidence: Evidence::Seen,
    values: &[seen("纯色"), seen("条纹"), seen("圆点")],
};

/// What it is woven of; everything but mugs.
pub(crate) const MATERIAL: Attribute = Attribute {
    name: "Material",
    english: "material",
    evidence: Evidence::Read,
    values: &[read("Cotton", "cotton", "纯棉"), read("Wool", "wool", "羊毛"), read("Linen", "linen", "亚麻")],
};

/// The season it is sold for: spring, summer, autumn, winter.
pub(crate) const SEASON: Attribute = Attribute {
    name: "季节",
    english: "season",
    evidence: Evidence::Read,
    values: &[
        read("春季", "spring", "春日"),
        read("夏季", "summer", "盛夏"),
        read("秋季", "autumn", "金秋"),
        read("冬季", "winter", "寒冬"),
    ],
};

/// Every attribute, in the order in which reports list them: seen, read.
pub(crate) const ATTRIBUTES: [&Attribute; 4] = [&COLOUR, &PATTERN, &MATERIAL, &SEASON];
