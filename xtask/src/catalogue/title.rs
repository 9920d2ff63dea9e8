//! Titles, in English or Chinese: the words of what is to be read, in the loose order of a shop's titles, among words that
//! tell nothing.

use super::attributes::Value;
use super::random::Random;

/// Brands and words that shops like, by language. They tell nothing of a product.
const BRANDS: [[&str; 4]; 2] = [["Nordwind", "Solara", "Kestrel", "Lotus Lane"], ["北风", "星野", "红隼", "莲巷"]];
const FILLERS: [[&str; 6]; 2] = [
    ["new", "classic", "popular", "comfortable", "premium", "favourite"],
    ["新款", "经典", "爆款", "舒适", "高级感", "百搭"],
];

/// A title that says each of the values once, in any order but for the last of them, the type, which ends it.
pub(crate) fn write(said: &[&Value], random: &mut Random) -> String {
    let language = random.below(2);
    let said: Vec<&str> = said.iter().filter_map(|value| Some(value.words?[language])).collect();
    let (kind, rest) = said.split_last().map_or(("", &[][..]), |(kind, rest)| (*kind, rest));
    let mut words = vec![*random.pick(&FILLERS[language])];
    for word in rest {
        words.insert(random.below(words.len() + 1), word);
    }
    words.insert(0, random.pick::<&str>(&BRANDS[language]));
    words.push(kind);
    words.join(if language == 0 { " " } else { "" })
}
