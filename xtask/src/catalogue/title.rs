//! Titles, in English or Chinese: the words of what is to be read, in the loose order of a shop's titles, among words that say nothing.

use super::attributes::Value;
use super::random::Random;

/// Words that shops like and that tell nothing of a product.
const ENGLISH_FILLERS: [&str; 10] = [
    "new",
    "classic",
    "popular",
    "everyday",
    "comfortable",
    "premium",
    "favourite",
    "genuine",
    "easy-care",
    "best-selling",
];
const CHINESE_FILLERS: [&str; 10] = ["新款", "爆款", "百搭", "经典", "舒适", "正品", "热卖", "高级感", "网红", "精选"];

/// What a title says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    /// Value of the brand.
    pub(crate) brand: &'static Value,
    /// Value of the season.
    pub(crate) season: &'static Value,
    /// Value of the material, where there is one.
    pub(crate) material: Option<&'static Value>,
    /// Value of the type.
    pub(crate) kind: &'static Value,
}

/// A title that says each of these once.
pub(crate) fn write(said: Said, random: &mut Random) -> String {
    let chinese = random.chance(0.5);
    let word = |value: &Value, random: &mut Random| *random.pick(if chinese { value.chinese } else { value.english });
    let fillers = if chinese { &CHINESE_FILLERS } else { &ENGLISH_FILLERS };

    let mut words = vec![word(said.season, random)];
    if let Some(material) = said.material {
        let place = random.below(2);
        words.insert(place, word(material, random));
    }
    for _ in 0..1 + random.below(2) {
        let filler = *random.pick(fillers);
        if !words.contains(&filler) {
            let place = random.below(words.len() + 1);
            words.insert(place, filler);
        }
    }
    words.insert(0, word(said.brand, random));
    words.push(word(said.kind, random));
    words.join(if chinese { "" } else { " " })
}
