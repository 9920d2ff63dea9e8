//! What a product of the catalogue can be: attributes, their values, and where the evidence for each lies.

/// Where a product tells the value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// In the picture only: no title names it.
    Seen,
    /// In the title only: the picture does not depend on it.
    Read,
    /// In both.
    Both,
}

impl Evidence {
    /// How a report says it.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::Seen => "only to be seen",
            Self::Read => "only to be read",
            Self::Both => "seen and read",
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
    /// English words by which a title says it; none where the value is only to be seen.
    pub(crate) english: &'static [&'static str],
    /// Chinese words by which a title says it.
    pub(crate) chinese: &'static [&'static str],
}

const fn seen(name: &'static str) -> Value {
    Value { name, english: &[], chinese: &[] }
}

const fn read(name: &'static str, english: &'static [&'static str], chinese: &'static [&'static str]) -> Value {
    Value { name, english, chinese }
}

/// What the product is.
pub(crate) const TYPE: Attribute = Attribute {
    name: "Type",
    english: "type",
    evidence: Evidence::Both,
    values: &[
        read("T-shirt", &["T-shirt", "tee"], &["T恤", "上衣"]),
        read("Dress", &["dress", "frock"], &["连衣裙", "长裙"]),
        read("Coat", &["coat", "overcoat"], &["外套", "大衣"]),
        read("Trousers", &["trousers", "pants"], &["长裤", "裤子"]),
        read("Shoe", &["shoe", "trainer"], &["鞋", "运动鞋"]),
        read("Bag", &["bag", "handbag"], &["手提包", "包"]),
        read("Cap", &["cap", "hat"], &["帽子", "棒球帽"]),
        read("Mug", &["mug", "cup"], &["马克杯", "杯子"]),
        read("Lamp", &["lamp", "table lamp"], &["台灯", "灯"]),
    ],
};

/// The colour of its body.
pub(crate) const COLOUR: Attribute = Attribute {
    name: "Colour",
    english: "colour",
    evidence: Evidence::Seen,
    values: &[
        seen("Red"),
        seen("Yellow"),
        seen("Green"),
        seen("Blue"),
        seen("Purple"),
        seen("Pink"),
        seen("White"),
        seen("Black"),
    ],
};

/// What is printed on it: plain, striped, dotted, checked.
pub(crate) const PATTERN: Attribute = Attribute {
    name: "图案",
    english: "pattern",
    evidence: Evidence::Seen,
    values: &[seen("纯色"), seen("条纹"), seen("圆点"), seen("格子")],
};

/// Sleeve length, short or long, of a garment with sleeves.
pub(crate) const SLEEVE: Attribute =
    Attribute {
        name: "袖长", english: "sleeve", evidence: Evidence::Seen, values: &[seen("短袖"), seen("长袖")]
    };

/// What it is woven of; everything but mugs and lamps.
pub(crate) const MATERIAL: Attribute = Attribute {
    name: "Material",
    english: "material",
    evidence: Evidence::Read,
    values: &[
        read("Cotton", &["cotton", "pure cotton"], &["纯棉", "棉质"]),
        read("Wool", &["wool", "woollen"], &["羊毛", "毛呢"]),
        read("Linen", &["linen", "flax"], &["亚麻", "麻料"]),
        read("Denim", &["denim", "jean"], &["牛仔", "丹宁"]),
    ],
};

/// The season it is sold for: spring, summer, autumn, winter.
pub(crate) const SEASON: Attribute = Attribute {
    name: "季节",
    english: "season",
    evidence: Evidence::Read,
    values: &[
        read("春季", &["spring", "springtime"], &["春季", "春日"]),
        read("夏季", &["summer", "hot-weather"], &["夏季", "盛夏"]),
        read("秋季", &["autumn", "fall"], &["秋季", "金秋"]),
        read("冬季", &["winter", "cold-weather"], &["冬季", "寒冬"]),
    ],
};

/// Who makes it.
pub(crate) const BRAND: Attribute = Attribute {
    name: "Brand",
    english: "brand",
    evidence: Evidence::Read,
    values: &[
        read("Nordwind", &["Nordwind"], &["北风"]),
        read("Solara", &["Solara"], &["日光"]),
        read("Kestrel", &["Kestrel"], &["红隼"]),
        read("Lotus Lane", &["Lotus Lane"], &["莲巷"]),
    ],
};

/// Every attribute, in the order in which reports list them: seen, read, both.
pub(crate) const ATTRIBUTES: [&Attribute; 7] = [&COLOUR, &PATTERN, &SLEEVE, &MATERIAL, &SEASON, &BRAND, &TYPE];
